"""How callers prove themselves at login: one module a method, one table of them (methods)."""
