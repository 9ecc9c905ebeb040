"""Users: who is in the account, in which roles and groups."""
