"""The agent in a pod: fetches the pod's secrets and keeps them where the application looks for them."""
