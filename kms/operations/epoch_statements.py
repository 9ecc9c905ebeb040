"""What officers are asked to sign before a record that was set back goes on, or before others are to decide that.

A statement is kept on the host until it is used, with a nonce: signatures are for one occasion. The text that is
signed is made of its fields each time, so that a kept field that somebody changes has no signatures. It must not know
who may sign.
"""

from __future__ import annotations

import base64
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from django.conf import settings

from kms.audit.checkpoint import Checkpoint

# For officers in several places; who waits longer asks them anew.
LASTS = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """``deciding`` is the fingerprint of those who are asked, with what a reader needs to see of them."""

    deployment: str
    deciding: str
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def text(self) -> str:
        raise NotImplementedError

    def over(self, now: datetime) -> bool:
        return now - self.made_at > LASTS

    def _ending(self) -> str:
        until = self.made_at + LASTS
        return (
            f"deployment  {self.deployment}\n"
            f"decided by  {self.deciding}\n"
            f"nonce       {self.nonce}\n"
            f"made        {self.made_at.isoformat()}, good until {until.isoformat()}\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening(Statement):
    """``token`` is what the token remembers, ``witnessed`` what witnesses have seen, where it is more."""

    fault: str
    database: Checkpoint
    token: Checkpoint | None
    witnessed: tuple[str, ...]
    lost: int
    epoch: int

    def text(self) -> str:
        witnessed = "".join(f"witness     {each}\n" for each in self.witnessed)
        return (
            f"Keystead: epoch {self.epoch} of the record is opened, a rollback of {self.lost} entries\n\n"
            f"because     {self.fault}\n"
            f"database    {_told(self.database)}\n"
            f"token       {'nothing' if self.token is None else _told(self.token)}\n"
            f"{witnessed}"
            f"{self._ending()}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment(Statement):
    """Others decide from then on. ``fingerprint`` is theirs; empty: the host's operator alone."""

    fingerprint: str
    quorum: int
    listed: str

    def text(self) -> str:
        whom = f"{self.quorum} of these officers, {self.fingerprint}:\n{self.listed}"
        return (
            "Keystead: others decide whether an epoch of the record is opened\n\n"
            f"from now on {whom if self.fingerprint else 'the operator of the host alone'}\n"
            f"{self._ending()}"
        )


def _told(checkpoint: Checkpoint) -> str:
    root = base64.b64encode(checkpoint.root).decode()
    return f"{checkpoint.origin}, {checkpoint.size} entries, root {root}"


S = TypeVar("S", bound=Statement)


def kept(kind: type[S]) -> S | None:
    """What was asked last, and not used yet."""
    try:
        return msgspec.json.decode(_path(kind).read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # somebody changed it: no signature is over that


def keep(statement: Statement) -> None:
    path = _path(type(statement))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    fresh = path.with_suffix(".new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(statement))
    fresh.rename(path)


def spend(kind: type[Statement]) -> None:
    _path(kind).unlink(missing_ok=True)


def _path(kind: type[Statement]) -> Path:
    return settings.KEYSTEAD.data / "record" / f"{kind.__name__.lower()}.json"
