"""/crypto/v1/stream/encrypt|decrypt: a CBOR sequence (RFC 8742) of frames in, one out, while both are under way.

In: ``init``, any number of ``ad``, then ``plain`` or ``cipher``, then ``final``. Out: ``init``, then ``cipher`` or
``plain``, then ``final``; or, once ``init`` is out, an ``error``. Frames are plain data of definite length: what CBOR
can do beyond that (tags, references, endless strings) has no use here and is refused before it is decoded. It must not
know ASGI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeVar

import cbor2
import msgspec

from kms.api.wire.base import Descriptor, Request, WireError, ref_of
from kms.api.wire.multipart import kid_of
from kms.crypto.algorithm import CipherParameters
from kms.operations.command import Command
from kms.operations.multipart import (
    BeginDecryption,
    BeginEncryption,
    Begun,
    ContinueDecryption,
    ContinueEncryption,
    FinishDecryption,
    Finished,
    FinishEncryption,
)

CONTENT_TYPE = "application/cbor-seq"
MAX_FRAME = 4 * 1024 * 1024
# A frame is a map in a map in a map; nothing that has more items is one.
MAX_ITEMS, MAX_DEPTH = 64, 8
_BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = 2, 3, 4, 5, 6, 7
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}


class EncryptInit(Request):
    key: Descriptor | None = None
    alg: str | None = None
    mode: str | None = None
    iv: bytes | None = None
    tag_len: int | None = None


class DecryptInit(Request):
    key: Descriptor | None = None
    alg: str | None = None
    mode: str | None = None
    iv: bytes | None = None


class EncryptEnd(Request):
    """Empty: the length of the tag was said at the beginning."""


class DecryptEnd(Request):
    tag: bytes | None = None


class EncryptFrame(Request):
    init: EncryptInit | None = None
    ad: bytes | None = None
    plain: bytes | None = None
    final: EncryptEnd | None = None


class DecryptFrame(Request):
    init: DecryptInit | None = None
    ad: bytes | None = None
    cipher: bytes | None = None
    final: DecryptEnd | None = None


Frame = EncryptFrame | DecryptFrame
F = TypeVar("F", EncryptFrame, DecryptFrame)


@dataclass(frozen=True, slots=True)
class Stream:
    """One streaming route: its frames, and the commands that they become."""

    operation: str
    path: str
    encrypting: bool
    method: str = "POST"
    anonymous: bool = False

    @property
    def _data_in(self) -> str:
        return "plain" if self.encrypting else "cipher"

    def frame(self, encoded: bytes) -> Frame:
        return _frame(encoded, EncryptFrame) if self.encrypting else _frame(encoded, DecryptFrame)

    def data(self, frame: Frame) -> bytes | None:
        return frame.plain if isinstance(frame, EncryptFrame) else frame.cipher

    def begin(self, frame: Frame) -> Command:
        init = frame.init
        if init is None:
            raise WireError("Invalid request: the first frame is init")
        key, tag_bits = ref_of(init.key), init.tag_len if isinstance(init, EncryptInit) else None
        parameters = CipherParameters(mode=init.mode, iv=init.iv, tag_bits=tag_bits)
        command = BeginEncryption if self.encrypting else BeginDecryption
        return command(key, init.alg, parameters, held=True)

    def go_on(self, begin: Frame, state: bytes, *, data: bytes = b"", aad: bytes = b"") -> Command:
        command = ContinueEncryption if self.encrypting else ContinueDecryption
        return command(ref_of(begin.init.key if begin.init else None), state, data, aad)

    def end(self, begin: Frame, state: bytes, final: Frame) -> Command:
        key = ref_of(begin.init.key if begin.init else None)
        if isinstance(begin.init, EncryptInit):
            return FinishEncryption(key, state, begin.init.tag_len)
        return FinishDecryption(key, state, final.final.tag if isinstance(final.final, DecryptEnd) else None)

    def unexpected(self, frame: Frame) -> WireError:
        name = next(name for name in frame.__struct_fields__ if getattr(frame, name) is not None)
        return WireError(f"Invalid request: no {name} frame is expected here (ad comes before {self._data_in})")

    # -- responses -------------------------------------------------------------------------------------------------

    def begun(self, result: Begun) -> bytes:
        kid = kid_of(result.key)
        init: dict[str, Any] = {} if kid is None else {"kid": str(kid)}
        if self.encrypting and result.iv is not None:
            init["iv"] = result.iv
        return cbor2.dumps({"init": init})

    def part(self, output: bytes) -> bytes:
        return cbor2.dumps({"cipher" if self.encrypting else "plain": output})

    def ended(self, result: Finished) -> bytes:
        return cbor2.dumps({"final": {} if result.tag is None else {"tag": result.tag}})


def error_frame(status: int, message: str) -> bytes:
    return cbor2.dumps({"error": {"status": status, "message": message}})


STREAMS: Mapping[str, Stream] = MappingProxyType(
    {
        stream.path: stream
        for stream in (
            Stream("StreamEncrypt", "/crypto/v1/stream/encrypt", encrypting=True),
            Stream("StreamDecrypt", "/crypto/v1/stream/decrypt", encrypting=False),
        )
    }
)


# -- CBOR ----------------------------------------------------------------------------------------------------------


def frame_length(buffer: bytes | bytearray) -> int | None:
    """How long the first item of the buffer is (RFC 8949 §3), or None when it isn't all there yet.

    It reads the heads of the items only, so asking again after every piece that arrives costs next to nothing.
    """
    at, open_items = 0, 1
    for _ in range(MAX_ITEMS):
        if at >= len(buffer):
            return None
        major, info = buffer[at] >> 5, buffer[at] & 31
        if info > max(_WIDTHS) or major == _TAG or (major == _SIMPLE and info > 23):
            raise WireError("Invalid request: a frame is maps, strings and integers of definite length")
        width = _WIDTHS.get(info, 0)
        if at + 1 + width > len(buffer):
            return None
        argument = int.from_bytes(buffer[at + 1 : at + 1 + width], "big") if width else info
        at += 1 + width + (argument if major in (_BYTES, _TEXT) else 0)
        if at > MAX_FRAME:
            raise WireError(f"Invalid request: a frame has at most {MAX_FRAME} bytes")
        open_items += {_ARRAY: argument, _MAP: 2 * argument}.get(major, 0) - 1
        if open_items == 0:
            return at if at <= len(buffer) else None
        if open_items > MAX_ITEMS:
            break
    raise WireError(f"Invalid request: a frame has at most {MAX_ITEMS} items")


def _frame(encoded: bytes, kind: type[F]) -> F:
    try:
        decoded = cbor2.loads(
            encoded,
            max_depth=MAX_DEPTH,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
        frame = msgspec.convert(decoded, kind)
    except msgspec.ValidationError as error:
        raise WireError(f"Invalid request: {error}") from None
    except cbor2.CBORDecodeError:
        raise WireError("Invalid request: a frame is not well-formed CBOR") from None
    if sum(getattr(frame, name) is not None for name in frame.__struct_fields__) != 1:
        raise WireError(f"Invalid request: a frame is exactly one of {', '.join(frame.__struct_fields__)}")
    return frame
