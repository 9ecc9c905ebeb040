"""What every wire module shares: strict structs, times, references, the endpoint and its call.

The vendor's spelling lives in this package and nowhere else. It must not know rows, rights or how HTTP is served.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from accounts.principal import Principal
from kms.operations.command import Command, ObjectRef
from kms.operations.queries import MAX_PAGE, Page

# How JSON spells U+0000 (RFC 8259 §7), which PostgreSQL's text cannot hold.
NUL = b"\\u0000"
TIME_FORMAT = "%Y%m%dT%H%M%SZ"


MAX_SEARCHED = 256


class WireError(Exception):
    """The request does not have the shape it should. The message names the field and never its value."""


class Request(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A request body. Unknown fields are errors: a misspelt limit must not be ignored."""


class Parameters(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Query parameters; text is read as the field's type."""


class Response(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A response body. Fields without a value are left out, as the vendor's server does."""


@dataclass(frozen=True, slots=True)
class WireCall:
    """One request, taken apart but not understood."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    authorization: str | None
    principal: Principal


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One route: how its request becomes a command and the result a response.

    ``lean`` routes are also served past Django, at the ASGI layer. ``optional_body`` allows an empty one.
    ``anonymous`` routes are carried out as nobody: the credential they come with is what the command is about.
    Parameters in the path are ids, but for those named in ``text``. The items of a ``batch`` are requests themselves.
    With a ``content_type`` the response is bytes of that type and no JSON. ``cache`` is the response's Cache-Control,
    for what may be kept; without it nothing is.
    """

    operation: str
    method: str
    path: str
    to_command: Callable[[WireCall], Command]
    from_result: Callable[[Any], Any]
    body: Any = None
    optional_body: bool = False
    status: int = 200
    lean: bool = False
    anonymous: bool = False
    text: frozenset[str] = frozenset()
    batch: bool = False
    content_type: str = ""
    cache: str = ""
    _decoder: list[msgspec.json.Decoder[Any]] = field(default_factory=list, compare=False, repr=False)

    def decode(self, body: bytes) -> Any:
        """The body as its type, or WireError saying which field is wrong."""
        if self.body is None:
            return None
        if not body:
            if self.optional_body:
                return None
            raise WireError("A JSON request body is needed")
        if NUL in body:
            raise WireError("Invalid request: text must not contain NUL characters")
        if not self._decoder:
            self._decoder.append(msgspec.json.Decoder(self.body, strict=True))
        return _shaped(lambda: self._decoder[0].decode(body))


T = TypeVar("T")


def _shaped(decode: Callable[[], T]) -> T:
    try:
        return decode()
    except msgspec.ValidationError as error:
        raise WireError(f"Invalid request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise WireError("Invalid request: the body is not well-formed JSON") from None
    except RecursionError:
        raise WireError("Invalid request: the body is nested too deeply") from None


def parameters(call: WireCall, kind: type[T]) -> T:
    """The query string as a Parameters struct."""
    return _shaped(lambda: msgspec.convert(dict(call.query), kind, strict=False))


def nothing(_result: Any) -> None:
    """For endpoints that answer 204."""
    return None


# -- values --------------------------------------------------------------------------------------------------------


def uuid_of(text: str, what: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise WireError(f"Invalid request: {what} is not a UUID") from None


def path_id(call: WireCall, name: str) -> UUID:
    return uuid_of(call.path[name], name)


def time_of(text: str | None, what: str) -> datetime | None:
    """The vendor's basic ISO 8601 form, in UTC: 20261123T220000Z."""
    if text is None:
        return None
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise WireError(f"Invalid request: {what} is not a time like 20261123T220000Z") from None


def moment_of(seconds: int | None, what: str) -> datetime | None:
    """A limit of a range: seconds since 1970, in UTC."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise WireError(f"Invalid request: {what} is not a time in seconds since 1970") from None


def wire_time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).strftime(TIME_FORMAT)


class Inline(Request):
    """A key that comes with the request."""

    value: bytes
    obj_type: str


class Descriptor(Request):
    """How a client names an object: one of these. ``inline`` is for requests that ask for it."""

    kid: UUID | None = None
    name: str | None = None
    transient_key: bytes | None = None
    inline: Inline | None = None


def ref_of(descriptor: Descriptor | None) -> ObjectRef:
    if descriptor is None:
        raise WireError("Invalid request: key is needed")
    if descriptor.inline is not None:
        raise WireError("Not supported by this server: an inline key here; import it, or make it transient")
    given = [v for v in (descriptor.kid, descriptor.name, descriptor.transient_key) if v is not None]
    if len(given) != 1:
        raise WireError("Invalid request: key takes exactly one of kid, name and transient_key")
    return ObjectRef(descriptor.kid, descriptor.name, descriptor.transient_key)


def key_of(call: WireCall, descriptor: Descriptor | None) -> ObjectRef:
    """The key in the path when there is one, else in the body."""
    if "key_id" not in call.path:
        return ref_of(descriptor)
    if descriptor is not None:
        raise WireError("Invalid request: the key is named in the path already")
    return ObjectRef(id=path_id(call, "key_id"))


def creator_of(kind: str, identity: UUID) -> dict[str, str]:
    return {kind: str(identity)}


def page_of(limit: int | None, offset: int | None, **sorting: Any) -> Page:
    if (limit is not None and limit < 0) or (offset is not None and offset < 0):
        raise WireError("Invalid request: limit and offset are not negative")
    return Page(limit=min(limit if limit is not None else MAX_PAGE, MAX_PAGE), offset=offset or 0, **sorting)


def sorting(sort: str | None, start: str | None, columns: Mapping[str, str]) -> dict[str, Any]:
    """``name:desc`` and ``start`` as parts of a Page. ``columns`` is wire name to field, the default first."""
    column, _, order = (sort or next(iter(columns))).partition(":")
    if column not in columns or order not in ("", "asc", "desc"):
        raise WireError(f"Invalid request: sort is one of {', '.join(columns)}, with :asc or :desc")
    if start is not None and columns[column].endswith("id"):
        start = str(uuid_of(start, "start"))
    return {"sort": columns[column], "descending": order == "desc", "after": start}


def searched(text: str) -> str:
    """A part of a name that a listing is narrowed to. It is a parameter of ours."""
    if len(text) > MAX_SEARCHED or "\0" in text:
        raise WireError(f"Invalid request: q has at most {MAX_SEARCHED} characters")
    return text.strip()


def unsupported(**fields: Any) -> None:
    """Refuse fields that the vendor knows and this server does not act on: ignoring one could weaken a key."""
    given = sorted(name for name, value in fields.items() if value is not None)
    if given:
        raise WireError(f"Not supported by this server: {', '.join(given)} (see docs/divergences.md)")
