"""Single sign-on: what each kind of identity provider asks of its settings, and how its word is checked.

A kind is one module with KIND = Kind(...), listed in accounts.sso.kinds. Secrets are sealed elsewhere and handed in
opened.
It must not know sessions, rights, the wire or HTTP routes.
"""
