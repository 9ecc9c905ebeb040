"""Where a test's token lives, and how to make one. No mock: a real token in software, in a folder of its own.

SoftHSM, or the library that KEYSTEAD_PKCS11_MODULE names: `make test-kryoptic` names Kryoptic.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from kms.hsm.pkcs11 import Pkcs11Module
from kms.hsm.token_setup import initialise_token
from kms.secret import SecretBytes
from tests.hsm.kryoptic import operator

LIBRARY = os.environ.get("KEYSTEAD_PKCS11_MODULE", "/usr/lib/softhsm/libsofthsm2.so")
ON_KRYOPTIC = operator.is_kryoptic(LIBRARY)
CONFIGURATION_VARIABLE = operator.VARIABLE if ON_KRYOPTIC else "SOFTHSM2_CONF"
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

    def configure(self) -> None:
        """The library reads its configuration at C_Initialize, so this comes before the first use in a process.

        Whole or not at all: from a half-written file SoftHSM silently takes its default, /var/lib/softhsm/tokens, and a
        process starting beside this one would make its token there.
        """
        self.tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.configuration.with_suffix(f".{os.getpid()}")
        draft.write_text(operator.configuration(self.tokens) if ON_KRYOPTIC else _softhsm_configuration(self.tokens))
        draft.replace(self.configuration)
        os.environ[CONFIGURATION_VARIABLE] = str(self.configuration)

    def initialise(self) -> bool:
        return initialise_token(LIBRARY, LABEL, SecretBytes(SO_PIN), SecretBytes(PIN), lock_file=self.lock_file)

    def module(self, *, pin: bytes = PIN, cache_size: int = 2000) -> Pkcs11Module:
        return Pkcs11Module(LIBRARY, LABEL, SecretBytes(pin), lock_file=self.lock_file, cache_size=cache_size)


def _softhsm_configuration(tokens: Path) -> str:
    return f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
