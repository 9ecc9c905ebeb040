"""Security objects: the table, one object with everything that belongs to it, and what is done to it."""
