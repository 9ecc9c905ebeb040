"""Where a test's token lives, and how to make one. No mock: a real token in software, in a folder of its own.

SoftHSM, or the library that KEYSTEAD_PKCS11_MODULE names: `make test-kryoptic` names Kryoptic.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kms.hsm.key_material import CURVES
from kms.hsm.pkcs11 import Pkcs11Module
from kms.hsm.token_setup import initialise_token
from kms.secret import SecretBytes
from tests.hsm.kryoptic import operator

LIBRARY = os.environ.get("KEYSTEAD_PKCS11_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
ON_KRYOPTIC = operator.is_kryoptic(LIBRARY)
CONFIGURATION_VARIABLE = operator.VARIABLE if ON_KRYOPTIC else "SOFTHSM2_CONF"
CURVES_HERE = tuple(sorted(CURVES)) if not ON_KRYOPTIC else ("NistP256", "NistP384", "NistP521")
"""What tests of curves run on; test_offer.py holds the module to it."""
LABEL = "keystead-hsm-tests"
PIN = b"user-pin-canary-5162"
SO_PIN = b"so-pin-canary-7735"


@dataclass(frozen=True)
class TokenPlace:
    folder: Path

    @property
    def lock_file(self) -> Path:
        return self.folder / "lock"

    @property
    def configuration(self) -> Path:
        return self.folder / "token.conf"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def configure(self, *, slots: int = 1) -> None:
        """The library reads its configuration at C_Initialize, so this comes before the first use in a process.

        Whole or not at all: from a half-written file SoftHSM silently takes its default, /var/lib/softhsm/tokens, and a
        process starting beside this one would make its token there. ``slots`` are Kryoptic's; SoftHSM always has one
        more than there are tokens.
        """
        self.tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.configuration.with_suffix(f".{os.getpid()}")
        draft.write_text(
            operator.configuration(self.tokens, slots=slots) if ON_KRYOPTIC else _softhsm_configuration(self.tokens)
        )
        draft.replace(self.configuration)
        os.environ[CONFIGURATION_VARIABLE] = str(self.configuration)

    # -- losing it -------------------------------------------------------------------------------------------------

    def lose(self) -> None:
        """SoftHSM opens its files for every use, so its folder goes away. SQLite keeps its file open under any name, so
        for Kryoptic it is what the file holds that goes away.
        """
        if ON_KRYOPTIC:
            shutil.copy(self._database, self._away)
            self._database.write_bytes(b"not a database" * 1000)
        else:
            self.tokens.rename(self._away)

    def put_an_empty_one(self) -> None:
        """In the lost one's place, as after a disk was replaced."""
        if ON_KRYOPTIC:
            self._database.write_bytes(b"")
        else:
            self.tokens.mkdir(exist_ok=True)

    def bring_back(self) -> None:
        if ON_KRYOPTIC:
            self._database.write_bytes(self._away.read_bytes())
        else:
            shutil.rmtree(self.tokens)
            self._away.rename(self.tokens)

    @property
    def _database(self) -> Path:
        return self.tokens / "token-0.sql"

    @property
    def _away(self) -> Path:
        return self.folder / "away"

    # -- making it -------------------------------------------------------------------------------------------------

    def initialise(self) -> bool:
        return initialise_token(LIBRARY, LABEL, SecretBytes(SO_PIN), SecretBytes(PIN), lock_file=self.lock_file)

    def initialise_as_operator(self) -> None:
        """With an operator's tool instead of our own code."""
        operator.initialise(LIBRARY, LABEL, so_pin=SO_PIN.decode(), user_pin=PIN.decode())

    def module(self, *, pin: bytes = PIN, cache_size: int = 2000) -> Pkcs11Module:
        return Pkcs11Module(LIBRARY, LABEL, SecretBytes(pin), lock_file=self.lock_file, cache_size=cache_size)


def _softhsm_configuration(tokens: Path) -> str:
    return f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
