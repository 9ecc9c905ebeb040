"""Why a caller was not recognised. Messages are for the caller and name no account, user or app."""


class NotAuthenticated(Exception):
    """No credential, or one that does not hold. ``reason`` goes to the record, never to the caller."""

    def __init__(self, reason: str, message: str = "Invalid credentials") -> None:
        super().__init__(message)
        self.reason = reason


class AttemptRefused(Exception):
    """Too many attempts came before this one, so it was not looked at. ``retry_after`` seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many attempts")
        self.retry_after = retry_after
