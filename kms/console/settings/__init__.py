"""The account's settings, and the state of what it stands on."""
