"""The mutating admission webhook: gives a pod an agent that delivers its secrets. It must not know any secret."""
