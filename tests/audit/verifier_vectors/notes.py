"""Checkpoints: each line of a signed note, the signature byte by byte, and the names that look like others."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.audit.verifier_vectors.world import (
    HOLDS,
    KEY,
    LINES,
    NAME,
    NOTE,
    OLD_NOTE,
    ORIGIN,
    SERVER,
    STRANGER,
    UNREADABLE,
    WITNESS,
    Case,
    bundle,
    cosigning,
    encoded,
    note,
    root_of,
    text_of,
)

# SEC 2 §2.4.2: the order of P-256.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ARABIC = "\N{ARABIC-INDIC DIGIT ONE}" * 2
DASH, IE = "\N{EM DASH}", "\N{CYRILLIC SMALL LETTER IE}"
TEXT, SIGNATURES = NOTE.split("\n\n")
TEXT += "\n"
BLOB = base64.b64decode(SIGNATURES.split(" ")[2])
ID, DER = BLOB[:4], BLOB[4:]
R, S = decode_dss_signature(DER)
ROOT = encoded([root_of(LINES)])[0]
ONES, LETTERS = b"\xff" * 70, b"ab"
FORM, NO_LINE, NOT_ITS = "not in the format", "signatures is none", "is not the key's"


def cases() -> Iterator[Case]:
    yield from _lines()
    yield from _encodings()
    yield from _signature_lines()
    yield from _signatures()
    yield from _keys()
    yield from _witnesses()


def _lines() -> Iterator[Case]:
    """Texts that the key did not sign; and such that it did, and are no checkpoint."""
    for case, comment, text in (
        ("size-more", "one entry more", f"{ORIGIN}\n12\n{ROOT}\n"),
        ("size-less", "one entry less", f"{ORIGIN}\n10\n{ROOT}\n"),
        ("root", "another root", f"{ORIGIN}\n11\n{encoded([root_of(LINES[:4])])[0]}\n"),
        ("origin", "another epoch", f"{NAME}/2\n11\n{ROOT}\n"),
        ("extension", "a line was added", f"{TEXT}later\n"),
    ):
        changed = NOTE.replace(TEXT, text)
        yield bundle().but(f"note-{case}", f"{comment}, under the signature there was", NOT_ITS, checkpoint=changed)
    for case, comment, text in (
        ("size-plus", "a sign before the size", f"{ORIGIN}\n+11\n{ROOT}\n"),
        ("size-minus", "a negative size", f"{ORIGIN}\n-11\n{ROOT}\n"),
        ("size-zero", "a leading zero", f"{ORIGIN}\n011\n{ROOT}\n"),
        ("size-blank", "a blank before the size", f"{ORIGIN}\n 11\n{ROOT}\n"),
        ("size-hex", "hexadecimal", f"{ORIGIN}\n0xb\n{ROOT}\n"),
        ("size-underscore", "as some languages write it", f"{ORIGIN}\n1_1\n{ROOT}\n"),
        ("size-arabic", "digits of another script", f"{ORIGIN}\n{ARABIC}\n{ROOT}\n"),
        ("size-superscript", "what some call a digit", f"{ORIGIN}\n¹¹\n{ROOT}\n"),
        ("size-huge", "2**63", f"{ORIGIN}\n{2**63}\n{ROOT}\n"),
        ("size-digits", "5000 digits", f"{ORIGIN}\n{'1' * 5000}\n{ROOT}\n"),
        ("size-none", "no size", f"{ORIGIN}\n\t\n{ROOT}\n"),
        ("root-short", "31 bytes", f"{ORIGIN}\n11\n{encoded([root_of(LINES)[:31]])[0]}\n"),
        ("root-long", "33 bytes", f"{ORIGIN}\n11\n{encoded([root_of(LINES) + bytes(1)])[0]}\n"),
        ("root-unpadded", "base64 without its padding", f"{ORIGIN}\n11\n{ROOT.rstrip('=')}\n"),
        ("root-bits", "bits that base64 leaves unused are set", f"{ORIGIN}\n11\n{_other_bits(ROOT)}\n"),
        ("root-blank", "base64 with a blank at its end", f"{ORIGIN}\n11\n{ROOT} \n"),
        ("root-hex", "hexadecimal", f"{ORIGIN}\n11\n{root_of(LINES).hex()}\n"),
        ("origin-none", "no origin", f"\n11\n{ROOT}\n"),
        ("origin-cyrillic", "an origin that looks like ours", f"{ORIGIN.replace('e', IE, 1)}\n11\n{ROOT}\n"),
        ("origin-escape", "an origin that moves the cursor", f"{ORIGIN}\x1b[2K\n11\n{ROOT}\n"),
        ("origin-override", "an origin that reads from right to left", f"\u202e{ORIGIN}\n11\n{ROOT}\n"),
        ("line-more", "a fourth line", f"{ORIGIN}\n11\n{ROOT}\nmore\n"),
        ("line-less", "no root", f"{ORIGIN}\n11\n"),
        ("line-order", "size before origin", f"11\n{ORIGIN}\n{ROOT}\n"),
        ("line-ends", "CRLF in the text", f"{ORIGIN}\r\n11\r\n{ROOT}\r\n"),
        ("line-separator", "U+2028 for an end of line", f"{ORIGIN}\u202811\n{ROOT}\n"),
    ):
        comment += ", signed all the same"
        yield bundle().but(f"signed-{case}", comment, FORM, UNREADABLE, checkpoint=note(text))


def _other_bits(text: str) -> str:
    """The last character before the padding holds two bits that count for nothing."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    place = len(text.rstrip("=")) - 1
    return text[:place] + alphabet[alphabet.index(text[place]) ^ 1] + text[place + 1 :]


def _encodings() -> Iterator[Case]:
    raw = NOTE.encode()
    for case, comment, reason, content in (
        ("crlf", "every line ends in CRLF", "has no signature", raw.replace(b"\n", b"\r\n")),
        ("no-end", "the last line has no end", "has no signature", raw[:-1]),
        ("empty", "an empty file", "has no signature", b""),
        ("unsigned", "the text alone", "has no signature", TEXT.encode()),
        ("cut", "the signature's line is cut off", "has no signature", raw[:-20]),
        ("no-lines", "no line of signatures", NO_LINE, TEXT.encode() + b"\n\n"),
        ("utf-8", "a byte that is no UTF-8", "cannot be read", raw + b"\xff\n"),
        ("utf-16", "in UTF-16", "cannot be read", NOTE.encode("utf-16")),
        ("trailing-line", "an empty line at the end", NO_LINE, raw + b"\n"),
        ("trailing-text", "words at the end", NO_LINE, raw + b"as agreed\n"),
        ("two", "two checkpoints in one file", NO_LINE, raw + b"\n" + OLD_NOTE.encode()),
    ):
        yield bundle().but(f"note-{case}", comment, reason, UNREADABLE, checkpoint=content)
    yield bundle().but("note-bom", "a byte order mark", NOT_ITS, checkpoint=b"\xef\xbb\xbf" + raw)
    yield bundle().but("note-nul", "a NUL in the text", NOT_ITS, checkpoint=raw.replace(b"\n", b"\0\n", 1))


def _signed(blob: bytes, name: str = NAME) -> str:
    return f"{TEXT}\n{DASH} {name} {base64.b64encode(blob).decode()}\n"


def _signature_lines() -> Iterator[Case]:
    encoding = base64.b64encode(BLOB).decode()
    for case, comment, line in (
        ("hyphen", "a hyphen for the dash", f"- {NAME} {encoding}"),
        ("en-dash", "an en dash for the em dash", f"\N{EN DASH} {NAME} {encoding}"),
        ("blanks", "two blanks", f"{DASH}  {NAME} {encoding}"),
        ("tab", "a tabulator", f"{DASH}\t{NAME} {encoding}"),
        ("more", "a fourth part", f"{DASH} {NAME} {encoding} more"),
        ("no-name", "no name", f"{DASH}  {encoding}"),
        ("no-signature", "no signature", f"{DASH} {NAME} "),
        ("id-alone", "the key's id and no signature", f"{DASH} {NAME} {base64.b64encode(ID).decode()}"),
        (
            "unpadded",
            "base64 without its padding",
            f"{DASH} {NAME} {base64.b64encode(BLOB + LETTERS).decode().rstrip('=')}",
        ),
        (
            "url",
            "the other alphabet of base64",
            f"{DASH} {NAME} {base64.urlsafe_b64encode(ID + ONES).decode()}",
        ),
        ("inner", "base64 with a sign that is none", f"{DASH} {NAME} {encoding[:8]}!{encoding[8:]}"),
    ):
        text = f"{TEXT}\n{line}\n"
        yield bundle().but(f"signature-{case}", comment, NO_LINE, UNREADABLE, checkpoint=text)
    none = "no signature by the key"
    cyrillic = NAME.replace("e", IE, 1)
    yield bundle().but("signature-cyrillic", "a name that looks like it", none, checkpoint=_signed(BLOB, cyrillic))
    yield bundle().but("signature-case", "the name in capitals", none, checkpoint=_signed(BLOB, NAME.upper()))
    yield bundle().but(
        "signature-wide",
        "a wide letter in it",
        none,
        checkpoint=_signed(BLOB, NAME.replace("k", "\N{FULLWIDTH LATIN SMALL LETTER K}", 1)),
    )
    yield bundle().but("signature-joiner", "a letter nobody sees", none, checkpoint=_signed(BLOB, NAME + "\u200d"))
    yield bundle().but("signature-id", "another key's id", none, checkpoint=_signed(bytes(4) + DER))
    stranger = note(TEXT, STRANGER, "stranger.example").partition("\n\n")[2]
    yield bundle().but("signature-alone", "a stranger's alone", none, checkpoint=f"{TEXT}\n{stranger}")
    both = f"{TEXT}\n{stranger}{SIGNATURES}"
    yield bundle().but("signature-second", "a stranger's first, then the key's", "holds", HOLDS, checkpoint=both)
    bad_first = _signed(ID + bytes(70)) + SIGNATURES
    yield bundle().but("signature-bad-first", "one that is not good, then a good one", NOT_ITS, checkpoint=bad_first)


def _signatures() -> Iterator[Case]:
    """DER has one way to write two numbers. That (r, n - s) is as good as (r, s) is ECDSA's, and changes no text."""
    yield bundle().but(
        "der-other-s", "n - s for s", "holds", HOLDS, checkpoint=_signed(ID + encode_dss_signature(R, ORDER - S))
    )
    r, s = (number.to_bytes(33).lstrip(b"\0") for number in (R, S))
    r, s = (b"\0" + each if each[0] & 0x80 else each for each in (r, s))
    first, second = bytes([2, len(r)]) + r, bytes([2, len(s)]) + s
    body = first + second
    for case, comment, der in (
        ("flipped", "a bit was changed", DER[:-1] + bytes([DER[-1] ^ 1])),
        ("cut", "the last byte is missing", DER[:-1]),
        ("trailing", "a byte follows", DER + b"\0"),
        ("trailing-inside", "a byte follows inside", bytes([0x30, len(body) + 1]) + body + b"\0"),
        ("long-length", "a length in two bytes (BER)", bytes([0x30, 0x81, len(body)]) + body),
        ("indefinite", "a length that is not said (BER)", b"\x30\x80" + body + b"\0\0"),
        ("padded-r", "a zero before r", bytes([0x30, len(body) + 1, 2, len(r) + 1, 0]) + r + second),
        ("padded-s", "a zero before s", bytes([0x30, len(body) + 1]) + first + bytes([2, len(s) + 1, 0]) + s),
        ("long-r", "r's length in two bytes (BER)", bytes([0x30, len(body) + 1, 2, 0x81, len(r)]) + r + second),
        ("set", "a set for the sequence", bytes([0x31, len(body)]) + body),
        ("swapped", "s before r", bytes([0x30, len(body)]) + second + first),
        ("r-alone", "s is missing", bytes([0x30, len(first)]) + first),
        ("zero-r", "r = 0", encode_dss_signature(0, S)),
        ("zero-s", "s = 0", encode_dss_signature(R, 0)),
        ("zeros", "r = s = 0", encode_dss_signature(0, 0)),
        ("order-r", "r = n", encode_dss_signature(ORDER, S)),
        ("order-s", "s = n", encode_dss_signature(R, ORDER)),
        ("more-r", "r + n for r", encode_dss_signature(R + ORDER, S)),
        ("more-s", "s + n for s", encode_dss_signature(R, S + ORDER)),
        ("negative-s", "-s for s", bytes([0x30, len(first) + 3]) + first + b"\x02\x01\xff"),
        ("raw", "r and s alone, as IEEE P1363 has them", R.to_bytes(32) + S.to_bytes(32)),
        ("empty-sequence", "nothing in it", b"\x30\x00"),
        ("one-byte", "a single byte", b"\x30"),
        ("other-text", "the signature of another checkpoint", base64.b64decode(OLD_NOTE.split(" ")[-1])[4:]),
        ("stranger", "a stranger's signature under the key's id", STRANGER.sign(TEXT.encode())),
        ("unprefixed", "over the root alone", SERVER.sign(root_of(LINES))),
    ):
        yield bundle().but(f"der-{case}", comment, NOT_ITS, checkpoint=_signed(ID + der))


def _keys() -> Iterator[Case]:
    name, identifier, encoding = KEY.split("+", 2)
    larger = ec.derive_private_key(12345, ec.SECP384R1()).public_key()
    other = ec.derive_private_key(12345, ec.SECP256K1()).public_key()
    seed = hashlib.sha256(b"edwards").digest()
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    form, kind = "not a verifier key", "not of signature type 2"
    for case, comment, reason, text in (
        ("empty", "an empty file", form, ""),
        ("words", "words", form, "the key"),
        ("no-id", "no id", form, f"{name}+{encoding}"),
        ("base64", "base64 that is none", form, f"{name}+{identifier}+{encoding[:-1]}!"),
        ("cut", "cut off", form, KEY[:-4]),
        ("id", "the id of another key", "id is not that of the key", f"{name}+00000000+{encoding}"),
        ("id-capitals", "the id in capitals", "id is not that of the key", f"{name}+{identifier.upper()}+{encoding}"),
        ("type", "of another type", kind, f"{name}+{identifier}+{_typed(SERVER.spki, 1)}"),
        ("p384", "a larger curve", kind, f"{name}+{identifier}+{_typed(_spki(larger))}"),
        ("secp256k1", "another curve", kind, f"{name}+{identifier}+{_typed(_spki(other))}"),
        ("ed25519", "an Edwards curve", kind, f"{name}+{identifier}+{_typed(_spki(edwards))}"),
        ("off-curve", "a point that is on no curve", form, f"{name}+{identifier}+{_typed(_off_curve())}"),
        ("no-name", "no name", "name is not in the format", f"+{identifier}+{encoding}"),
        ("cyrillic", "a name that looks like it", "name is not in the format", KEY.replace("e", IE, 1)),
    ):
        yield bundle().but(f"key-{case}", comment, reason, UNREADABLE, key=text)
    stranger = f"{name}+{hashlib.sha256(STRANGER.spki).digest()[:4].hex()}+{_typed(STRANGER.spki)}"
    yield bundle().but("key-stranger", "a stranger's of this name", "no signature by the key", key=stranger)
    yield bundle().but("key-utf-8", "a byte that is no UTF-8", "cannot be read", UNREADABLE, key=b"\xff")


def _typed(spki: bytes, kind: int = 2) -> str:
    return base64.b64encode(bytes([kind]) + spki).decode()


def _spki(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _off_curve() -> bytes:
    return SERVER.spki[:-1] + bytes([SERVER.spki[-1] ^ 1])


def _witnesses() -> Iterator[Case]:
    """A witness who is asked for must have cosigned; the first line that says that it is theirs is theirs."""
    asked = ("bundle", ".", "--key", "key", "--old", "old", "--witness", "witness")
    good = WITNESS.line(TEXT)
    seen = bundle().called(*asked)
    other = cosigning("witness.example/two")
    seen.files["witness"] = WITNESS.key
    yield seen.but("witness", "cosigned", "witnessed by", HOLDS, checkpoint=NOTE + good)
    yield seen.but(
        "witness-first",
        "the witness's line comes first",
        "witnessed by",
        HOLDS,
        checkpoint=f"{TEXT}\n{good}{SIGNATURES}",
    )
    none, wrong = "no cosignature of the witness", "not that of the witness"
    yield seen.but("witness-none", "nobody cosigned", none, checkpoint=NOTE)
    yield seen.but("witness-other", "somebody else cosigned", none, checkpoint=NOTE + other.line(TEXT))
    yield seen.but("witness-alone", "a cosignature without the signature", "by the key", checkpoint=f"{TEXT}\n{good}")
    yield seen.but("witness-time", "another time than it signed", wrong, checkpoint=NOTE + WITNESS.line(TEXT, said=1))
    text = text_of(LINES[:4])
    yield seen.but("witness-text", "it cosigned another checkpoint", wrong, checkpoint=NOTE + WITNESS.line(text))
    signature = good.split(" ")[2].strip()
    short = base64.b64encode(base64.b64decode(signature)[:40]).decode()
    yield seen.but("witness-cut", "cut off", wrong, checkpoint=NOTE + good.replace(signature, short))
    yield seen.but(
        "witness-key-id",
        "the id of another key",
        "id is not that of the key",
        UNREADABLE,
        witness=WITNESS.key.replace("+", "+00000000+", 1).replace(WITNESS.key.split("+")[1] + "+", "", 1),
    )
    yield seen.but("witness-key-type", "the server's key", "not of signature type 4", UNREADABLE, witness=KEY)
