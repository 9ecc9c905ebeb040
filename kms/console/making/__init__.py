"""New security objects, made or imported; and trying out what a key does."""
