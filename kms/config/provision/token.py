"""The token and its master keys: made once, checked at every start.

Runs in a process of its own: the parent of the servers must never have the PKCS#11 library initialised, and what the
library leaves behind goes with the process. The PINs cross no command line and no pipe; each side reads the files.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection

from kms.config.environment import Environment
from kms.config.provision.errors import ProvisionError
from kms.config.provision.private_files import read_first_line
from kms.config.provision.softhsm import ensure_so_pin
from kms.config.token import is_softhsm, token_library, token_pin
from kms.hsm.errors import ModuleError, ModuleSealed
from kms.hsm.master_keys import MasterKeysMissing
from kms.hsm.module import ModuleStatus
from kms.hsm.pkcs11 import Pkcs11Module
from kms.hsm.token_setup import initialise_token
from kms.secret import SecretBytes


def ensure_token(environment: Environment, *, in_use: bool) -> str:
    """Initialise the token if it is a new SoftHSM one, make its master keys if it has none; says what was done.

    `in_use`: the database holds objects already. Then the token that wrapped them must be here, and making a fresh one
    would only hide that it is not.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_report, args=(theirs, environment, in_use))
    process.start()
    theirs.close()
    try:
        answer: str | ProvisionError = ours.recv()
    except EOFError:
        raise ProvisionError(
            "The PKCS#11 library took its process down with it.",
            "Check that KEYSTEAD_PKCS11_MODULE fits this machine, and update the library.",
        ) from None
    finally:
        process.join()
        ours.close()
    if isinstance(answer, ProvisionError):
        raise answer
    return answer


def _report(out: Connection, environment: Environment, in_use: bool) -> None:
    """In the process of its own. Anything but a ProvisionError is a defect, and prints its traceback here."""
    try:
        out.send(_prepare(environment, in_use))
    except ProvisionError as error:
        out.send(error)


def _prepare(environment: Environment, in_use: bool) -> str:
    try:
        return _check(environment) if in_use else _make(environment)
    except MasterKeysMissing:
        message = "The database holds objects, but the token lacks the master keys that wrapped them."
        advice = "Restore the token from its backup: docs/operations.md, 'The token is lost'."
    except ModuleSealed as error:
        message = f"The token stays closed: {error}."
        advice = (
            f"Check the PIN in {environment.pin_file}: it is tried once at each start, never in a loop. "
            "docs/operations.md, 'The token', lists the other causes."
        )
    except ModuleError as error:
        message = f"The token cannot be used: {error}."
        advice = (
            "If it was lost, restore it from its backup; docs/operations.md, 'The token', lists the other causes."
            if in_use
            else "docs/operations.md, 'The token', lists the causes."
        )
    raise ProvisionError(message, advice)


def _check(environment: Environment) -> str:
    module = _module(environment)
    try:
        return _describe(module.status(), "checked")
    finally:
        module.close()


def _make(environment: Environment) -> str:
    library = token_library(environment)
    new = False
    if is_softhsm(library):
        so_pin = SecretBytes(read_first_line(ensure_so_pin(environment)).encode())
        new = initialise_token(str(library), environment.token_label, so_pin, token_pin(environment))
    module = _module(environment)
    try:
        module.provision_master_keys()
        status = module.status()
    finally:
        module.close()
    return _describe(status, "made" if new else "checked")


def _describe(status: ModuleStatus, verdict: str) -> str:
    return f"{status.model.strip()}, generation {status.generation}, {verdict}"


def _module(environment: Environment) -> Pkcs11Module:
    library = token_library(environment)
    return Pkcs11Module(str(library), environment.token_label, token_pin(environment))
