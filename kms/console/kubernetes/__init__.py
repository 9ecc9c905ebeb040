"""Kubernetes clusters: whose pods come in, as which app, and whether a token would."""
