"""Signatures and HMAC by NIST's validation programs and by RFCs 2202, 4231 and 8032, through the corridor.

A sample of each file: the first vectors of every section (section: what stands in brackets, such as curve and hash),
valid and invalid ones counted apart.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kms.crypto.algorithm import SignatureParameters
from kms.crypto.algorithms.weierstrass import HASHES
from kms.crypto.asymmetric import private_der, public_der
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from tests.vectors.corridor import Lab
from tests.vectors.nist import sample, vectors

CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-192": ec.SECP192R1,
    "P-224": ec.SECP224R1,
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}


# -- HMAC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "hash_name"),
    [
        ("HMAC/rfc-2202-sha1.txt", "SHA1"),
        ("HMAC/rfc-4231-sha224.txt", "SHA224"),
        ("HMAC/rfc-4231-sha256.txt", "SHA256"),
        ("HMAC/rfc-4231-sha384.txt", "SHA384"),
        ("HMAC/rfc-4231-sha512.txt", "SHA512"),
    ],
)
def test_hmac(lab: Lab, path: str, hash_name: str) -> None:
    """All of them; the four bytes "Jefe" are fewer than SP 800-131A allows for a key."""
    checked = 0
    for vector in vectors(path):
        if len(vector.raw("Key")) < 14:
            with pytest.raises(ParameterInvalid, match="an HMAC key has"):
                lab.key("HMAC", vector.raw("Key"))
            continue
        key, data, mac = lab.key("HMAC", vector.raw("Key")), vector.raw("Msg"), vector.raw("MD")
        assert lab.mac(key, hash_name, data) == mac
        assert lab.mac_holds(key, hash_name, data, mac) is True
        assert lab.mac_holds(key, hash_name, data, bytes([mac[0] ^ 1]) + mac[1:]) is False
        checked += 1
    assert checked >= 4


# -- signatures ----------------------------------------------------------------------------------------------------


def test_ecdsa_verification(lab: Lab) -> None:
    """FIPS 186-3 SigVer: the first six of each curve and hash."""
    checked = {True: 0, False: 0}
    for vector in sample(vectors("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp"), 6):
        curve, _, hash_name = next(iter(vector.section)).partition(",")
        if curve not in CURVES:
            continue
        public = ec.EllipticCurvePublicNumbers(vector.number("Qx"), vector.number("Qy"), CURVES[curve]())
        try:
            key = lab.key("EC", public_der(public.public_key()))
        except ValueError:  # "Q changed": no point of the curve, so no key that anyone could import
            assert vector.fields["Result"].startswith("F")
            continue
        signature = encode_dss_signature(vector.number("R"), vector.number("S"))
        parameters = SignatureParameters(hash_name.replace("-", ""))
        expected = vector.fields["Result"].startswith("P")
        assert lab.holds(key, parameters, vector.raw("Msg"), signature) is expected
        checked[expected] += 1
    assert min(checked.values()) > 20


@pytest.mark.parametrize(("name", "padding"), [("SigVer15_186-3.rsp", "PKCS1_V15"), ("SigVerPSS_186-3.rsp", "PSS")])
def test_rsa_verification(lab: Lab, name: str, padding: str) -> None:
    """FIPS 186-3 SigVer, the first of each key, hash and result. NIST's PSS salts of ten bytes are never as long as the
    hash, which is the one length that is offered: all are refused."""
    modulus, seen = 0, set()
    for vector in vectors(f"asymmetric/RSA/FIPS_186-2/{name}"):
        modulus = vector.number("n") if "n" in vector.fields else modulus
        if "Result" not in vector.fields:
            continue
        case = (modulus, vector.fields["SHAAlg"], vector.fields["Result"])
        if case in seen:
            continue
        seen.add(case)
        public = rsa.RSAPublicNumbers(vector.number("e"), modulus).public_key()
        key = lab.key("RSA", public_der(public))
        parameters = SignatureParameters(vector.fields["SHAAlg"], padding)
        expected = padding == "PKCS1_V15" and vector.fields["Result"].startswith("P")
        assert lab.holds(key, parameters, vector.raw("Msg"), vector.raw("S")) is expected
    assert len(seen) >= 100


def test_rsa_signatures_are_the_published_ones(lab: Lab) -> None:
    """PKCS#1 v1.5 is deterministic, so the private keys of SigVer15's valid vectors make their signatures again."""
    pair: dict[str, int] = {}
    made = set()
    for vector in vectors("asymmetric/RSA/FIPS_186-2/SigVer15_186-3.rsp"):
        pair.update({name: vector.number(name) for name in ("n", "p", "q") if name in vector.fields})
        if not vector.fields.get("Result", "").startswith("P"):
            continue
        hash_name = vector.fields["SHAAlg"]
        if pair["n"].bit_length() > 2048 and hash_name != "SHA256":
            continue  # the larger keys once each: they are slow to check and to use
        d, e = vector.number("d"), vector.number("e")
        p, q = pair["p"], pair["q"]
        private = rsa.RSAPrivateNumbers(
            p, q, d, d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q), rsa.RSAPublicNumbers(e, pair["n"])
        ).private_key()
        key = lab.key("RSA", private_der(private).reveal())
        signature = lab.sign(key, SignatureParameters(hash_name, "PKCS1_V15"), vector.raw("Msg"))
        assert signature == vector.raw("S")
        made.add((private.key_size, hash_name))
    assert len(made) == 3 * 5 + 2


def test_ecdsa_on_secp256k1(lab: Lab) -> None:
    """The published signatures hold under the public half of the published private key, and so do new ones."""
    for vector in sample(vectors("asymmetric/ECDSA/SECP256K1/SigGen.txt"), 3):
        parameters = SignatureParameters(next(iter(vector.section)).partition(",")[2].replace("-", ""))
        private = ec.derive_private_key(vector.number("d"), ec.SECP256K1())
        assert private.public_key().public_numbers().x == vector.number("Qx")
        key = lab.key("EC", private_der(private).reveal())
        published = encode_dss_signature(vector.number("R"), vector.number("S"))
        assert lab.holds(key, parameters, vector.raw("Msg"), published) is True
        own = lab.sign(key, parameters, vector.raw("Msg"))
        private.public_key().verify(own, vector.raw("Msg"), ec.ECDSA(HASHES[parameters.hash or ""]))
        assert lab.holds(key, parameters, vector.raw("Msg") + b"!", own) is False


@pytest.mark.parametrize("curve", CURVES)
def test_ecdsa_signatures_hold_outside(lab: Lab, curve: str) -> None:
    """With every hash, also one longer than the curve's order, which is cut (FIPS 186-5 §6.4.1): SigGen's keys."""
    for vector in vectors("asymmetric/ECDSA/FIPS_186-3/SigGen.txt"):
        named = next(iter(vector.section)).partition(",")[0]
        if named != curve or "d" not in vector.fields:
            continue
        private = ec.derive_private_key(vector.number("d"), CURVES[curve]())
        key = lab.key("EC", private_der(private).reveal())
        for name in HASHES:
            signature = lab.sign(key, SignatureParameters(name), vector.raw("Msg"))
            private.public_key().verify(signature, vector.raw("Msg"), ec.ECDSA(HASHES[name]))
        break
    else:
        pytest.fail(f"no vector for {curve}")


@pytest.mark.parametrize("hash_name", ["SHA3_256", "BLAKE2B512", "MD5", ""])
def test_hashes_without_vectors_are_refused_for_rsa(lab: Lab, hash_name: str) -> None:
    key = lab.key("RSA", public_der(rsa.generate_private_key(65537, 2048).public_key()))
    with pytest.raises(AlgorithmUnsupported):
        lab.holds(key, SignatureParameters(hash_name), b"", b"")
