"""Groups: what security objects belong to, and whose policies and people guard them."""
