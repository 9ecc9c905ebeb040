"""Where a test's token lives, and how to make one. No mock: a real SoftHSM in a folder of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kms.hsm.pkcs11 import Pkcs11Module
from kms.hsm.token_setup import initialise_token
from kms.secret import SecretBytes

LIBRARY = os.environ.get("KEYSTEAD_PKCS11_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
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
        return self.folder / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    def configure(self) -> None:
        """SoftHSM reads SOFTHSM2_CONF at C_Initialize, so this comes before the first use in a process.

        Whole or not at all: from a half-written file SoftHSM silently takes its default, /var/lib/softhsm/tokens, and a
        process starting beside this one would make its token there.
        """
        self.tokens.mkdir(parents=True, exist_ok=True)
        draft = self.configuration.with_suffix(f".{os.getpid()}")
        draft.write_text(
            f"directories.tokendir = {self.tokens}\n"
            "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
        )
        draft.replace(self.configuration)
        os.environ["SOFTHSM2_CONF"] = str(self.configuration)

    def initialise(self) -> bool:
        return initialise_token(LIBRARY, LABEL, SecretBytes(SO_PIN), SecretBytes(PIN), lock_file=self.lock_file)

    def module(self, *, pin: bytes = PIN, cache_size: int = 2000) -> Pkcs11Module:
        return Pkcs11Module(LIBRARY, LABEL, SecretBytes(pin), lock_file=self.lock_file, cache_size=cache_size)
