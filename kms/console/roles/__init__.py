"""Roles: what may be done, by whom, and what a change of that would have changed."""
