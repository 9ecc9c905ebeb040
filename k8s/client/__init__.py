"""The one REST client that the Kubernetes programs share. It must not know gRPC, Kubernetes' objects or its own use."""

from k8s.client.calls import Call
from k8s.client.client import Client
from k8s.client.errors import Bad, Denied, KeysteadError, Refused, Unreachable
from k8s.client.settings import CredentialSettings, ServerSettings

__all__ = [
    "Bad",
    "Call",
    "Client",
    "CredentialSettings",
    "Denied",
    "KeysteadError",
    "Refused",
    "ServerSettings",
    "Unreachable",
]
