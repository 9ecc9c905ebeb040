"""Every decision about published vectors that is ours, in one table: file, which of its vectors, decision, reason.

It speaks of two things. Where Wycheproof says ``acceptable``, we say which of the two it is to us. Where it says
``valid`` and we refuse on purpose, the line says why, and the vectors must be refused. The first line that fits holds;
one that fits nothing fails the full run, and so does an acceptable vector without a line.

An invalid vector is refused, always, but for lines that say ``invalid``: those are vectors that are wrong only by a
parameter that a request cannot carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

ACCEPT, REFUSE = True, False


class Published(Protocol):
    """What a line may look at: a vector's file, group and fields."""

    @property
    def file(self) -> str: ...
    @property
    def group(self) -> dict[str, Any]: ...
    @property
    def fields(self) -> dict[str, Any]: ...
    @property
    def result(self) -> str: ...
    @property
    def flags(self) -> tuple[str, ...]: ...


Which = Callable[[Published], bool]


@dataclass(frozen=True)
class Rule:
    files: str  # a regular expression for whole names
    which: Which
    accept: bool
    reason: str
    # What a refusal must say (a regular expression), so that it is for this reason and no other.
    says: str = ""
    invalid: bool = False
    # The direction that works although the other is refused.
    half: str = ""

    def speaks_of(self, vector: Published) -> bool:
        if self.invalid is not (vector.result == "invalid"):
            return False
        return re.fullmatch(self.files, vector.file) is not None and self.which(vector)


def every(_vector: Published) -> bool:
    return True


def acceptable(vector: Published) -> bool:
    return vector.result == "acceptable"


def flagged(*flags: str) -> Which:
    """At least one of them."""
    return lambda vector: not set(flags).isdisjoint(vector.flags)


def sized(name: str, fits: Callable[[int], bool]) -> Which:
    """By a number that the group states, in bits."""
    return lambda vector: fits(vector.group[name])


def truncated(vector: Published) -> bool:
    """A MAC shorter than its hash, which the file's name ends in: hmac_sha256, hmac_sha3_512."""
    size = re.split(r"sha|_", vector.file)[-1]
    return bool(vector.group["tagSize"] < (160 if size == "1" else int(size)))


def unlike_hash(vector: Published) -> bool:
    """A PSS salt that is not as long as the hash."""
    return bool(vector.group["sLen"] != hash_bytes(vector.group["sha"]))


def two_hashes(vector: Published) -> bool:
    return bool(vector.group["sha"] != vector.group["mgfSha"])


def salted_like_hash(vector: Published) -> bool:
    """Wrong in its group because its salt is as long as the hash, which is what we ask for."""
    return unlike_hash(vector) and vector.fields["comment"] == f"s_len changed to {hash_bytes(vector.group['sha'])}"


def hash_bytes(name: str) -> int:
    return 20 if name == "SHA-1" else int(name.rpartition("-")[2]) // 8


RULES: tuple[Rule, ...] = (
    # -- block ciphers -------------------------------------------------------------------------------------------------
    Rule(r"aria_\w+", every, REFUSE, "no token and no library we stand on has ARIA", "type ARIA"),
    Rule(
        r"aes_gcm",
        sized("ivSize", lambda bits: bits < 64),
        REFUSE,
        "nothing new is encrypted under an IV that comes again soon; what was encrypted so is decrypted",
        "at least 8",
        half="only decrypted",
    ),
    Rule(
        r"aes_gcm",
        sized("ivSize", lambda bits: bits > 1024),
        REFUSE,
        "tokens take IVs of 128 bytes (SP 800-38D sets no end)",
        "128 bytes",
    ),
    Rule(
        r"aes_ccm",
        sized("tagSize", lambda bits: bits < 64),
        REFUSE,
        "SP 800-38C appendix B.2: tags of 64 bits and more",
        "tag",
    ),
    Rule(
        r"seed_(gcm|ccm|wrap)",
        every,
        REFUSE,
        "the wire's options for SEED have no tag length, so it has no such mode there",
        "SEED in",
    ),
    Rule(
        r"\w+_wrap", flagged("ShortKey"), REFUSE, "SP 800-38F §5.3.1: KW takes two semiblocks and more", "could not be"
    ),
    # -- HMAC ----------------------------------------------------------------------------------------------------------
    Rule(
        r"hmac_\w+",
        sized("keySize", lambda bits: bits < 112),
        REFUSE,
        "SP 800-131A rev 2 §10: keys of 112 bits and more",
        "112 to",
    ),
    Rule(r"hmac_\w+", truncated, REFUSE, "only whole MACs hold: a shorter one promises less than was asked", "False"),
    # -- RSA -----------------------------------------------------------------------------------------------------------
    Rule(r"rsa_signature_\w+_sha3_\w+", every, REFUSE, "tokens sign with RSA over SHA-1 and SHA-2", "not supported"),
    Rule(
        r"rsa_signature_\w+",
        flagged("MissingNull"),
        REFUSE,
        "RFC 8017 §8.2.2: a signature has one encoding",
        "False",
    ),
    Rule(
        r"rsa_pkcs1_\w+_sig_gen",
        flagged("SmallModulus", "WeakHash", "SmallPublicKey"),
        ACCEPT,
        "PKCS#1 allows it, and old keys are imported to go on as they did; new ones have 2048 bits and more",
    ),
    Rule(
        r"rsa_pss_\w+",
        unlike_hash,
        REFUSE,
        "the wire has no salt length; it is as long as the hash (FIPS 186-5 §5.4)",
        "False",
    ),
    Rule(
        r"rsa_pss_\w+",
        salted_like_hash,
        ACCEPT,
        "the wire has no salt length, and this is the one we use",
        invalid=True,
    ),
    Rule(r"rsa_oaep_\w+", two_hashes, REFUSE, "the wire has one hash, for OAEP and for its MGF1", "could not be"),
    Rule(r"rsa_three_primes_\w+", every, REFUSE, "FIPS 186-5 §5.1: an RSA modulus has two prime factors", "the key"),
    Rule(
        r"rsa_oaep_misc",
        flagged("SmallIntegerCiphertext"),
        ACCEPT,
        "a small integer is encrypted like any other (RFC 8017 §7.1.2); nobody makes one by chance",
    ),
    # -- elliptic curves -----------------------------------------------------------------------------------------------
    Rule(r"ec\w+_brainpoolP(224|320)r1\w*", every, REFUSE, "no library we stand on has the curve", "key"),
    Rule(r"ecdsa_secp(192|224)k1_\w+", every, REFUSE, "no library we stand on has the curve", "the key"),
    Rule(r"ecdh_\w+", flagged("UnnamedCurve"), REFUSE, "RFC 5480 §2.1.1: a curve is named, not spelled out", "value"),
    Rule(r"ecdh_\w+", flagged("InvalidAsn"), REFUSE, "X.690 §10: a key has one encoding in DER", "DER"),
    Rule(
        r"ecdh_\w+", flagged("CompressedPoint"), ACCEPT, "SEC 1 §2.3.4: a point has two encodings, and both are checked"
    ),
    Rule(
        r"x(25519|448)\w*",
        flagged("ZeroSharedSecret"),
        REFUSE,
        "RFC 7748 §6: a secret of zeros is anybody's",
        "low order",
    ),
    Rule(r"x(25519|448)\w*", acceptable, ACCEPT, "RFC 7748 §5: every string of the right length is a public key"),
    # -- what else is signed, encapsulated and tokenised ---------------------------------------------------------------
    Rule(r"dsa_\w+", flagged("MissingZero"), REFUSE, "X.690 §8.3: an integer has one encoding in DER", "False"),
    Rule(r"mlkem_512\w*", every, REFUSE, "no library we stand on has ML-KEM-512", "the key"),
    Rule(r"aes_ff1_\w+", flagged("SmallMessageSize"), REFUSE, "SP 800-38G rev 1: a million texts or more", "1,000,000"),
)
