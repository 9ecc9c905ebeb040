"""The mutating admission webhook: gives a pod an agent that delivers its secrets. It must not know any secret."""

__version__ = "0.1.0"
