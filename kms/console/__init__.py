"""The web console: pages over the API. A view parses, calls the API as anybody could (kms.api.inside) and renders."""
