"""One process's connection to its token: start, login, the two sessions, the probe, and recovery after a loss.

It must not know callers' keys, blobs or mechanisms; work is handed to it and run where it is safe to run.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import pkcs11
from pkcs11 import Mechanism
from pkcs11.mechanisms import GCMParams

from kms.hsm import master_keys, signing_pair
from kms.hsm.diagnosis import Finding, Suspect, Verdict, diagnose
from kms.hsm.errors import DataRejected, MechanismRefused, ModuleError, ModuleSealed, ModuleUnavailable
from kms.hsm.file_lock import exclusive
from kms.hsm.library import Library
from kms.hsm.master_keys import MasterKeysMissing, Masters
from kms.hsm.offer import Offer, offer_of
from kms.hsm.token_objects import attribute_mapper
from kms.secret import SecretBytes

log = logging.getLogger(__name__)
T = TypeVar("T")

_START_ATTEMPTS = 4  # SoftHSM's start-up fails about once in ten when processes race (docs/hsm.md 9)
_START_PAUSE_SECONDS = 0.05
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_KNOWN_ANSWER = b"keystead known answer probe 0001"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Desk:
    """A session with the master keys as that session's objects (the binding ties an object to its session)."""

    session: pkcs11.Session
    masters: Masters


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Attachment:
    """All that one initialisation gave. Compared by identity: handles of another attachment must never be used."""

    pid: int
    generation: int
    token: pkcs11.Token
    main: Desk
    """Logged in here and never closed; the cached handles live here."""
    workshop: Desk
    """For work that takes long (an RSA-4096 key), so that encrypts go on meanwhile."""
    kwp: Mechanism
    offer: Offer
    probe_iv: bytes
    probe_sealed: bytes


@dataclass(slots=True)
class _Remedies:
    """What was tried for one call: each cure at most once."""

    reopened: bool = False
    evicted: bool = False
    recovered: bool = False


def _nothing() -> None:
    pass


def _again(fault: ModuleError) -> ModuleError:
    """A fresh exception: raising the kept one would grow its traceback for ever."""
    return type(fault)(*fault.args)


class Connection:
    def __init__(self, library: str, label: str, pin: SecretBytes, lock_file: Path) -> None:
        self._library = Library.at(library)
        self._library.users += 1
        self._label = label
        self._pin = pin
        self.lock_file = lock_file
        self._attachment: Attachment | None = None
        self._fault: ModuleError | None = None
        self._retry_at = 0.0
        self._pause = _FIRST_PAUSE_SECONDS
        self.on_detach: Callable[[], None] = _nothing
        self.on_pressure: Callable[[], None] = _nothing

    def __repr__(self) -> str:
        return f"<Connection to the token {self._label!r}>"

    @property
    def library(self) -> Library:
        return self._library

    @property
    def kwp(self) -> Mechanism:
        """The token's name for RFC 5649, for callers' wrapping."""
        return self.attachment().kwp

    def is_current(self, attachment: Attachment) -> bool:
        return attachment is self._attachment and attachment.generation == self._library.generation

    # -- running work ----------------------------------------------------------------------------------------------

    def attachment(self) -> Attachment:
        """This process's attachment, made on first use (never inherited over a fork: docs/hsm.md 8)."""
        current = self._attachment
        if current is not None and current.generation == self._library.generation and current.pid == os.getpid():
            return current
        return self._attach()

    def call(
        self,
        work: Callable[[Attachment], T],
        *,
        slow: bool = False,
        verdict: Verdict | None = None,
        forget: Callable[[], None] = _nothing,
    ) -> T:
        """Run ``work`` alone on its session; cure and repeat what can be cured; no PKCS#11 error leaves.

        ``verdict`` is raised for an unclear error while the probe shows the token well. ``forget`` drops the caller's
        handle. ``work`` may run again, so it must destroy what it makes.
        """
        library = self._library
        remedies: _Remedies | None = None
        while True:
            attachment = self.attachment()
            try:
                with library.workshop if slow else library.lock:
                    if self.is_current(attachment):
                        return work(attachment)
                continue  # recovered by another thread between the look and the lock
            except Suspect as suspect:
                error, blamed = suspect.cause, suspect.verdict
            except pkcs11.PKCS11Error as caught:
                error, blamed = caught, verdict  # type: ignore[assignment]  # the second arm may be None
            remedies = remedies or _Remedies()
            self._cure(error, blamed, attachment, remedies, forget)

    def _cure(
        self,
        error: pkcs11.PKCS11Error,
        verdict: Verdict | None,
        attachment: Attachment,
        remedies: _Remedies,
        forget: Callable[[], None],
    ) -> None:
        """Return to have the work repeated, or raise. No lock is held here, so recovery may take both in order."""
        finding = diagnose(error)
        name = type(error).__name__
        if finding is Finding.BAD_DATA:
            raise (verdict or DataRejected)(f"the token rejected the data ({name})") from error
        if finding is Finding.REFUSED:
            raise MechanismRefused(f"the token refused ({name})") from error
        if finding is Finding.STALE_HANDLE and not remedies.reopened:
            remedies.reopened = True
            forget()
            return
        if finding is Finding.OUT_OF_ROOM and not remedies.evicted:
            remedies.evicted = True
            with self._library.lock:
                self.on_pressure()
            return
        if finding is not Finding.TOKEN_LOST and self.probe(attachment):
            self._blame_the_input(finding, name, verdict, error)
        if remedies.recovered:
            raise ModuleUnavailable(f"the token fails again after recovery ({name})") from error
        remedies.recovered = True
        self.recover(attachment, name)

    @staticmethod
    def _blame_the_input(finding: Finding, name: str, verdict: Verdict | None, error: pkcs11.PKCS11Error) -> NoReturn:
        if finding is Finding.UNCLEAR and verdict is not None:
            raise verdict(f"it did not open, and the token is well ({name})") from error
        raise ModuleUnavailable(f"the token failed ({name}), though its probe passes") from error

    def probe(self, attachment: Attachment) -> bool:
        """The known answer under the token's own seal key: tells a bad blob from a bad token in 50 us."""
        try:
            with self._library.lock:
                if not self.is_current(attachment):
                    return False
                masters = attachment.main.masters
                opened = masters.seals[masters.current].decrypt(
                    attachment.probe_sealed,
                    mechanism=Mechanism.AES_GCM,
                    mechanism_param=GCMParams(attachment.probe_iv, None, 128),
                )
                return bool(opened == _KNOWN_ANSWER)
        except pkcs11.PKCS11Error:
            return False

    # -- attaching -------------------------------------------------------------------------------------------------

    def _attach(self) -> Attachment:
        library = self._library
        with library.lock, library.workshop:
            current = self._attachment
            if current is not None and current.generation == library.generation and current.pid == os.getpid():
                return current
            self._detach()
            return self._attempt(self._start)

    def recover(self, lost: Attachment, reason: str) -> None:
        """Finalise and start again, unless another thread has done it since."""
        library = self._library
        with library.lock, library.workshop:
            if self._attachment is not lost or lost.generation != library.generation:
                return
            log.warning("the token is lost (%s): recovering", reason)
            self._detach()
            library.stop()
            self._attempt(self._start)
            log.warning("the token is back")

    def _detach(self) -> None:
        self._attachment = None
        self.on_detach()

    def _attempt(self, start: Callable[[], T]) -> T:
        """Fail fast while a pause lasts; a wrong PIN or a deviating master key pauses for ever."""
        if self._fault is not None and time.monotonic() < self._retry_at:
            raise _again(self._fault)
        try:
            result = start()
        except ModuleError as fault:
            self._library.stop()
            self._pause_after(fault)
            raise
        self._fault, self._pause = None, _FIRST_PAUSE_SECONDS
        return result

    def _pause_after(self, fault: ModuleError) -> None:
        self._fault = fault
        if isinstance(fault, ModuleSealed) and not isinstance(fault, MasterKeysMissing):
            self._retry_at = float("inf")
            log.critical("the module is sealed until the process restarts: %s", fault)
            return
        # Jitter, so that many workers don't come back in step; not a secret, hence not the secrets module.
        self._retry_at = time.monotonic() + self._pause * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    def _start(self) -> Attachment:
        """Initialise, log in, find and check the master keys. Both locks are held."""
        with exclusive(self.lock_file):
            token, session = self._log_in()
            try:
                main = Desk(session, master_keys.find(session, checked=True))
                other = self._open(token)
                workshop = Desk(other, master_keys.find(other, checked=False))
                kwp, offered = master_keys.kwp_mechanism(token), offer_of(token, other)
                iv = os.urandom(12)
                sealed = main.masters.seals[main.masters.current].encrypt(
                    _KNOWN_ANSWER, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(iv, None, 128)
                )
            except pkcs11.PKCS11Error as error:
                raise ModuleUnavailable(f"the token failed at start ({type(error).__name__})") from error
        self._attachment = Attachment(
            os.getpid(),
            self._library.generation,
            token,
            main,
            workshop,
            kwp=kwp,
            offer=offered,
            probe_iv=iv,
            probe_sealed=sealed,
        )
        return self._attachment

    def _log_in(self) -> tuple[pkcs11.Token, pkcs11.Session]:
        error: pkcs11.PKCS11Error | None = None
        for attempt in range(_START_ATTEMPTS):
            if attempt:
                self._library.stop()
                time.sleep(_START_PAUSE_SECONDS * attempt)
            try:
                self._library.start()
                token = self._library.token(self._label)
                session = self._open(token)
                self._library.login(session, self._pin.reveal())
                return token, session
            except pkcs11.PKCS11Error as caught:
                if diagnose(caught) is Finding.SEALED:
                    # "from None": the sealed state outlives the traceback, whose frames hold the PIN.
                    raise ModuleSealed(f"the token refused the PIN ({type(caught).__name__})") from None
                error = caught
        raise ModuleUnavailable(f"the token {self._label!r} is not there ({type(error).__name__})") from error

    def _open(self, token: pkcs11.Token) -> pkcs11.Session:
        """Never with a PIN: the login is the process's, see Library.login."""
        return token.open(rw=True, attribute_mapper=attribute_mapper())

    # -- rare work -------------------------------------------------------------------------------------------------

    def provision_master_keys(self, generation: int) -> bool:
        """Make what keys of our own are absent, then start again from what the token has on disk, with every check."""
        library = self._library
        with library.lock, library.workshop:
            if self._fault is not None and self._retry_at == float("inf"):
                raise _again(self._fault)
            self._detach()
            self._fault = None
            made = self._attempt(lambda: self._provision(generation))
            if made:
                library.stop()
                os.sync()  # SoftHSM never calls fsync: a power cut must not take the key under which we start to wrap
            self._attempt(self._start)
            return made

    def _provision(self, generation: int) -> bool:
        with exclusive(self.lock_file):
            token, session = self._log_in()
            try:
                made = master_keys.provision(session, master_keys.kwp_mechanism(token), generation)
                made |= signing_pair.provision(session, signing_pair.ATTESTATION)
                made |= signing_pair.provision(session, signing_pair.RECORD)
                session.close()
            except pkcs11.PKCS11Error as error:
                raise ModuleUnavailable(f"the token made no master keys ({type(error).__name__})") from error
        return made

    def close(self) -> None:
        """Give the library back: for tests and shutdown."""
        library = self._library
        with library.lock, library.workshop:
            attachment = self._attachment
            self._detach()
            if attachment is not None and attachment.generation == library.generation:
                for desk in (attachment.workshop, attachment.main):
                    with suppress(pkcs11.PKCS11Error):
                        desk.session.close()
            library.users -= 1
            if library.users <= 0:
                library.stop()
