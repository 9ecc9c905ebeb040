"""What a block cipher's modes take (IVs, tags, additional data), and how a request and its key's options settle them.

It must not know keys, the token, rows, rights or the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kms.crypto.algorithm import CipherParameters
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.crypto.options import CipherOptions, KeyOptions

NO_CIPHER_OPTIONS = CipherOptions()


@dataclass(frozen=True, slots=True)
class Mode:
    """``iv``: lengths in bytes that are taken, none when the mode has no IV; ``fresh_iv`` is the length of a new one,
    and ``shortest_iv`` what a caller may encrypt under. ``tags`` are lengths in bits. ``aad``: takes additional data;
    ``masks``: can hide parts of what it decrypts.
    """

    name: str
    iv: range = range(0)
    fresh_iv: int = 0
    shortest_iv: int = 0
    tags: tuple[int, ...] = ()
    aad: bool = False
    masks: bool = False


def with_block(block: int, *names: str) -> dict[str, Mode]:
    """Modes of SP 800-38A, whose IV or first counter block is one block."""
    return {name: Mode(name, range(block, block + 1), block) for name in names}


def cipher_options(options: KeyOptions) -> CipherOptions:
    return options.cipher if options.cipher is not None else NO_CIPHER_OPTIONS


def chosen(kind: str, modes: Mapping[str, Mode], named: str) -> Mode:
    """The mode by its name, or AlgorithmUnsupported."""
    try:
        return modes[named]
    except KeyError:
        raise AlgorithmUnsupported(f"{kind} in {named} mode is not supported; use one of {', '.join(modes)}") from None


def check_parameters(mode: Mode, parameters: CipherParameters) -> None:
    """Refuse what the mode does not take: ignoring it would leave the caller with less than was asked for."""
    if parameters.iv is not None and not mode.iv:
        raise _takes_no(mode, "iv")
    if parameters.aad is not None and not mode.aad:
        raise _takes_no(mode, "ad")
    if parameters.tag_bits is not None and not mode.tags:
        raise _takes_no(mode, "tag_len")
    if parameters.tag is not None and not mode.tags:
        raise _takes_no(mode, "tag")
    if parameters.padding is not None:
        raise _takes_no(mode, "RSA padding")
    if parameters.label is not None:
        raise _takes_no(mode, "label")
    if parameters.masked and not mode.masks:
        raise _takes_no(mode, "mask")


def _takes_no(mode: Mode, what: str) -> ParameterInvalid:
    return ParameterInvalid(f"{mode.name} mode takes no {what}")


def new_iv(
    mode: Mode, parameters: CipherParameters, options: CipherOptions, random: Callable[[int], bytes]
) -> bytes | None:
    """For encryption: the caller's IV, or a new one."""
    if not mode.iv:
        return None
    if parameters.iv is None:
        return random(options.iv_bytes or mode.fresh_iv)
    if options.random_iv:
        raise ParameterInvalid("the key's options leave the iv to the server: give none")
    if len(parameters.iv) < mode.shortest_iv:
        raise ParameterInvalid(f"an IV to encrypt under has at least {mode.shortest_iv} bytes in {mode.name} mode")
    return _checked_iv(mode, parameters.iv, options)


def given_iv(mode: Mode, parameters: CipherParameters, options: CipherOptions) -> bytes | None:
    """For decryption: the caller's IV."""
    if not mode.iv:
        return None
    if parameters.iv is None:
        raise ParameterInvalid(f"{mode.name} mode needs the iv")
    return _checked_iv(mode, parameters.iv, options)


def _checked_iv(mode: Mode, iv: bytes, options: CipherOptions) -> bytes:
    if len(iv) not in mode.iv:
        raise ParameterInvalid(f"the IV in {mode.name} mode has {_lengths(mode.iv)} bytes, not {len(iv)}")
    if options.iv_bytes is not None and len(iv) != options.iv_bytes:
        raise ParameterInvalid(f"the key's options fix the IV at {options.iv_bytes} bytes, not {len(iv)}")
    return iv


def new_tag_bits(mode: Mode, parameters: CipherParameters, options: CipherOptions) -> int:
    """For encryption: the length asked for, else the key's, else the longest."""
    asked = parameters.tag_bits
    bits = (options.tag_bits or mode.tags[-1]) if asked is None else asked
    if bits not in mode.tags:
        raise ParameterInvalid(f"tag_len is in bits and one of {', '.join(map(str, mode.tags))}, not {bits}")
    _check_fixed_tag(bits, options)
    return bits


def given_tag(mode: Mode, parameters: CipherParameters, options: CipherOptions) -> bytes:
    """For decryption: the caller's tag."""
    if parameters.tag is None:
        raise ParameterInvalid(f"{mode.name} mode needs the tag")
    length = len(parameters.tag)
    if length * 8 not in mode.tags:
        lengths = ", ".join(str(bits // 8) for bits in mode.tags)
        raise ParameterInvalid(f"a {mode.name} tag has one of {lengths} bytes, not {length}")
    _check_fixed_tag(length * 8, options)
    return parameters.tag


def _check_fixed_tag(bits: int, options: CipherOptions) -> None:
    if options.tag_bits is not None and bits != options.tag_bits:
        raise ParameterInvalid(f"the key's options fix the tag at {options.tag_bits} bits, not {bits}")


def check_options(kind: str, modes: Mapping[str, Mode], options: CipherOptions) -> None:
    """Refuse options that no request could meet: with a mode named, in that mode, else in any."""
    candidates = list(modes.values()) if options.mode is None else [chosen(kind, modes, options.mode)]
    where = kind if options.mode is None else f"{kind} in {options.mode} mode"
    if options.iv_bytes is not None and not any(options.iv_bytes in mode.iv for mode in candidates):
        raise ParameterInvalid(f"iv_length: {where} takes no IV of {options.iv_bytes} bytes")
    if options.tag_bits is not None and not any(options.tag_bits in mode.tags for mode in candidates):
        raise ParameterInvalid(f"tag_length: {where} makes no tag of {options.tag_bits} bits")
    if options.random_iv and not any(mode.iv for mode in candidates):
        raise ParameterInvalid(f"random_iv: {where} takes no IV")


def _lengths(lengths: range) -> str:
    return str(lengths[0]) if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
