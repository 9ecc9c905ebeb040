"""One's own: second factors, sessions, password, how times and colours are shown."""
