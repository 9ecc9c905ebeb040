"""What is wrong with a caller's parameters, said so that a person can act on it. It knows no HTTP."""


class ParameterInvalid(Exception):
    """A parameter is missing, malformed or does not fit the key. The message is for the caller and holds no data."""


class AlgorithmUnsupported(Exception):
    """The algorithm, mode or size is known and not offered here (docs/divergences.md says which and why)."""
