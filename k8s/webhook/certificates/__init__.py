"""The webhook's own certificate: issued, kept, exchanged while serving; and the API server's trust in it."""
