"""What needs to be done, and whether all is well."""
