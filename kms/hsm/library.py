"""The loaded PKCS#11 library: one per path and process, initialised for threads, with the calls the binding lacks.

It must not know which token is used, what its keys are, or when to recover.
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import suppress
from typing import Any, ClassVar

import pkcs11
from pkcs11 import Mechanism, _pkcs11, exceptions

# Positions in CK_FUNCTION_LIST (PKCS#11 v2.40 §3.6, pkcs11f.h).
_INITIALIZE, _FINALIZE, _INIT_TOKEN, _LOGIN, _LOGOUT, _DECRYPT_INIT, _DECRYPT = 0, 1, 9, 18, 19, 33, 34
_OS_LOCKING_OK = 2
_ALREADY_INITIALIZED = 0x191
_ALREADY_LOGGED_IN = 0x100
_USER_SO, _USER = 0, 1

_FAILURES: dict[int, type[exceptions.PKCS11Error]] = {
    0x05: exceptions.GeneralError,
    0x20: exceptions.DataInvalid,
    0x21: exceptions.DataLenRange,
    0x30: exceptions.DeviceError,
    0x31: exceptions.DeviceMemory,
    0x32: exceptions.DeviceRemoved,
    0x40: exceptions.EncryptedDataInvalid,
    0x41: exceptions.EncryptedDataLenRange,
    0x60: exceptions.KeyHandleInvalid,
    0x70: exceptions.MechanismInvalid,
    0x82: exceptions.ObjectHandleInvalid,
    0xB0: exceptions.SessionClosed,
    0xB3: exceptions.SessionHandleInvalid,
    0xE0: exceptions.TokenNotPresent,
    0x101: exceptions.UserNotLoggedIn,
    0xA0: exceptions.PinIncorrect,
    0xA1: exceptions.PinInvalid,
    0xA2: exceptions.PinLenRange,
    0xA3: exceptions.PinExpired,
    0xA4: exceptions.PinLocked,
    0x102: exceptions.UserPinNotInitialized,
}


class _InitializeArgs(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS, PKCS#11 v2.40 §3.7."""

    _fields_: ClassVar = [
        *((name, ctypes.c_void_p) for name in ("create", "destroy", "lock", "unlock")),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_char_p),
    ]


class _Mechanism(ctypes.Structure):
    """CK_MECHANISM, PKCS#11 v2.40 §3.5."""

    _fields_: ClassVar = [
        ("mechanism", ctypes.c_ulong),
        ("parameter", ctypes.c_void_p),
        ("parameter_length", ctypes.c_ulong),
    ]


def _failure(name: str, result: int) -> exceptions.PKCS11Error:
    return _FAILURES.get(result, exceptions.PKCS11Error)(f"{name} {result:#x}")


class _FunctionList(ctypes.Structure):
    _fields_: ClassVar = [
        ("version", ctypes.c_ubyte * 2),
        ("padding", ctypes.c_ubyte * 6),
        ("functions", ctypes.c_void_p * 68),
    ]


class _ThreadSafeLibrary(_pkcs11.lib):
    """python-pkcs11's library with CKF_OS_LOCKING_OK.

    The stock one passes NULL to C_Initialize, and SoftHSM then takes no lock at all: two threads see GeneralError,
    eight see SIGSEGV (docs/hsm.md 1). ``pkcs11.lib()`` must therefore not be used anywhere in the process.
    """

    _functions: ctypes.Array[ctypes.c_void_p]

    def __new__(cls, path: str) -> _ThreadSafeLibrary:
        made = _pkcs11.lib.__new__(cls, path)  # type: ignore[call-arg]  # the stub hides __cinit__'s argument
        table = ctypes.POINTER(_FunctionList)()
        if ctypes.CDLL(path).C_GetFunctionList(ctypes.byref(table)):
            raise exceptions.GeneralError("C_GetFunctionList")
        made._functions = table.contents.functions
        return made

    def call(self, position: int, types: tuple[type, ...], *arguments: object) -> int:
        address = self._functions[position]
        return int(ctypes.CFUNCTYPE(ctypes.c_ulong, *types)(address)(*arguments))  # type: ignore[arg-type]  # an address

    def initialize(self) -> None:
        """Called by the base class's constructor too."""
        result = self._c_initialize()
        if result == _ALREADY_INITIALIZED:
            # Inherited over a fork: this process must start afresh (PKCS#11 v2.40 §5.4, C_Initialize and fork).
            self.finalize()
            result = self._c_initialize()
        if result:
            raise exceptions.PKCS11Error(f"C_Initialize {result:#x}")

    def _c_initialize(self) -> int:
        arguments = _InitializeArgs(flags=_OS_LOCKING_OK)
        return self.call(_INITIALIZE, (ctypes.c_void_p,), ctypes.byref(arguments))

    def finalize(self) -> None:
        self.call(_FINALIZE, (ctypes.c_void_p,), None)


class Library:
    """The process's one instance of a library file.

    Every call on the main session holds ``lock``, every call on the workshop session holds ``workshop``; whoever holds
    both is alone inside the library, which C_Finalize requires. Take them in that order.
    """

    _by_path: ClassVar[dict[str, Library]] = {}
    _registry_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.RLock()
        self.workshop = threading.RLock()
        self.generation = 0
        """Grows with every C_Initialize: handles of an older generation may name other keys (docs/hsm.md 2)."""
        self.users = 0
        self._binding: _ThreadSafeLibrary | None = None
        self._running = False

    @classmethod
    def at(cls, path: str) -> Library:
        with cls._registry_lock:
            return cls._by_path.setdefault(path, cls(path))

    @classmethod
    def _after_fork(cls) -> None:
        """In a child: locks may be held by threads that don't exist here, and the inherited state is not ours."""
        cls._registry_lock = threading.Lock()
        for library in cls._by_path.values():
            library.lock = threading.RLock()
            library.workshop = threading.RLock()
            library.generation += 1
            library._running = False

    def start(self) -> None:
        """C_Initialize, once per process and until ``stop``. The caller holds both locks."""
        if self._running:
            return
        self.generation += 1
        if self._binding is None:
            self._binding = _ThreadSafeLibrary(self.path)
        else:
            self._binding.initialize()
        self._running = True

    def stop(self) -> None:
        """C_Finalize: every session and handle is gone. The caller holds both locks."""
        if self._running and self._binding is not None:
            self._running = False
            self.generation += 1
            self._binding.finalize()

    @property
    def binding(self) -> _ThreadSafeLibrary:
        if self._binding is None or not self._running:
            raise exceptions.PKCS11Error("the library is not initialised")
        return self._binding

    def token(self, label: str) -> pkcs11.Token:
        """Always by label: SoftHSM gives a token a new random slot number. No or several matches raise.

        The binding's own search asks every token for its mechanisms, which one that is not initialised refuses
        (Kryoptic 1.5.4: CKR_TOKEN_NOT_INITIALIZED), and that would hide ours in the next slot.
        """
        found = []
        for slot in self.binding.get_slots(token_present=True):
            with suppress(exceptions.TokenNotPresent, exceptions.TokenNotRecognised):
                token = slot.get_token()
                if token.label == label:
                    found.append(token)
        if not found:
            raise exceptions.NoSuchToken(f"no token is labelled {label!r}")
        if len(found) > 1:
            raise exceptions.MultipleTokensReturned(f"{len(found)} tokens are labelled {label!r}")
        return found[0]

    def login(self, session: pkcs11.Session, pin: bytes, *, security_officer: bool = False) -> None:
        """C_Login by hand: python-pkcs11 leaks a session when login fails, and its close() of a session that logged in
        logs out the whole process (docs/hsm.md 3). Here no session has "logged in", so no close() logs out."""
        user = _USER_SO if security_officer else _USER
        result = self.binding.call(
            _LOGIN,
            (ctypes.c_ulong, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong),
            session.handle,  # type: ignore[attr-defined]  # the stub lacks it
            user,
            pin,
            len(pin),
        )
        if result and result != _ALREADY_LOGGED_IN:
            raise _failure("C_Login", result)

    def logout(self, session: pkcs11.Session) -> None:
        """C_Logout, for the security officer only: a user's login is the whole process's."""
        self.binding.call(_LOGOUT, (ctypes.c_ulong,), session.handle)  # type: ignore[attr-defined]  # the stub lacks it

    def decrypt(self, key: Any, mechanism: Mechanism, data: bytes, room: int) -> bytes:
        """C_Decrypt without asking for the result's length first, of which ``room`` is the most it can be.

        The binding always asks, and Kryoptic 1.5.4 has no answer for CKM_RSA_X_509 (CKR_GENERAL_ERROR).
        """
        handles = (ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong)
        name = _Mechanism(int(mechanism), None, 0)
        result = self.binding.call(_DECRYPT_INIT, handles, key.session.handle, ctypes.byref(name), key.handle)
        if result:
            raise _failure("C_DecryptInit", result)
        output, length = ctypes.create_string_buffer(room), ctypes.c_ulong(room)
        result = self.binding.call(
            _DECRYPT,
            (ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p),
            key.session.handle,
            data,
            len(data),
            output,
            ctypes.byref(length),
        )
        if result:
            raise _failure("C_Decrypt", result)
        return output.raw[: length.value]

    def init_token(self, slot_id: int, so_pin: bytes, label: str) -> None:
        """C_InitToken (PKCS#11 v2.40 §5.5): the label is 32 bytes, blank padded, not terminated."""
        result = self.binding.call(
            _INIT_TOKEN,
            (ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p),
            slot_id,
            so_pin,
            len(so_pin),
            label.encode().ljust(32),
        )
        if result:
            raise exceptions.PKCS11Error(f"C_InitToken {result:#x}")


os.register_at_fork(after_in_child=Library._after_fork)
