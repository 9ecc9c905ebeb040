"""Kubernetes programs: plain clients of the REST edge. They import nothing of the server: the edge is enough."""
