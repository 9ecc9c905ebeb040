"""What an image says of itself: its entrypoint and its user, asked of its registry. It must not know pods."""
