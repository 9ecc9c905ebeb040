"""The ways into the console, and out of it."""
