"""The agent in a pod: it fetches the pod's secrets, writes them where the application looks, and keeps them fresh."""
