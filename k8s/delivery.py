"""What the webhook asks of the agent: one pod's secrets, where each comes from and where it is to lie.

It travels in the pod's spec, so nothing in it is secret. It must not know Kubernetes' objects, annotations, or how a
secret is fetched.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

import msgspec

# The agent's containers find the delivery in this variable of their environment, as JSON.
DELIVERY_VARIABLE = "KEYSTEAD_DELIVERY"

# In the agent's containers. A directory of the application's is a volume of its own here, by its number; a container
# that takes variables has one by its name.
VOLUMES = "/keystead/volumes"
ENVIRONMENTS = "/keystead/environments"
TOKEN_FILE = "/keystead/token/token"  # noqa: S105 - a path
API_KEY_FILE = "/keystead/api-key/api-key"

# In both: the launcher, which the agent copies out of its own image. In the application's containers: its variables,
# each `NAME=value` and a NUL, as /proc/PID/environ has them.
LAUNCHER_DIRECTORY = "/keystead/bin"
LAUNCHER = "keystead-launch"
ENVIRONMENT_DIRECTORY = "/keystead/environment"
VARIABLES_FILE = "variables"

# Where a secret's file lies unless its path says otherwise, under the secret's key.
DEFAULT_DIRECTORY = "/keystead/secrets"


class Format(StrEnum):
    """How a value is written. ``AUTO``: PEM for certificates and asymmetric keys, the bytes themselves for the rest."""

    AUTO = "auto"
    RAW = "raw"
    BASE64 = "base64"
    HEX = "hex"
    PEM = "pem"
    JSON = "json"
    ENV = "env"
    PROPERTIES = "properties"


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A security object. By ``name`` it is the one that bears it now, and the next one after a rotation.

    ``version`` counts a name's objects from 1, the oldest; 0 is the newest. ``property`` picks one member of a value
    that is a JSON object.
    """

    name: str = ""
    kid: UUID | None = None
    version: int = 0
    property: str = ""
    required: bool = True
    refresh_seconds: int = 0


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of three: a secret, by its key; several in PEM, one after the other; or a Jinja template over all of them."""

    secret: str = ""
    bundle: tuple[str, ...] = ()
    template: str = ""
    format: Format = Format.AUTO


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """``volume`` is the number of its directory, ``name`` the file's in it, ``mode`` its permissions as a number."""

    key: str
    volume: int
    name: str
    content: Content
    mode: int = 0o440


class Variable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    key: str
    container: str
    name: str
    content: Content


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """``ca`` is PEM, in place of the authorities that the system trusts. ``pins`` as in the client's settings."""

    addresses: tuple[str, ...]
    ca: str = ""
    pins: tuple[str, ...] = ()


class Credential(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The pod's own token for a cluster that the server knows; without ``cluster`` the API key in its file."""

    cluster: UUID | None = None
    app: UUID | None = None


class Delivery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """``secrets`` by the keys that annotations give them. ``launcher``: some container needs it."""

    server: Server
    credential: Credential
    secrets: dict[str, Source]
    files: tuple[File, ...] = ()
    variables: tuple[Variable, ...] = ()
    launcher: bool = False
    log_level: str = "INFO"


def encode(delivery: Delivery) -> str:
    return msgspec.json.encode(delivery, order="deterministic").decode()


def decode(text: str) -> Delivery:
    """msgspec.ValidationError or DecodeError: this is none."""
    return msgspec.json.decode(text, type=Delivery)
