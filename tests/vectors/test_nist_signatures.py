"""Signatures and HMAC by NIST's validation programs and by RFCs 2202, 4231 and 8032, through the corridor.

A sample of each file: the first vectors of every section (section: what stands in brackets, such as curve and hash),
valid and invalid ones counted apart.
"""

from __future__ import annotations

from importlib.resources import files

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from kms.crypto.algorithm import SignatureParameters
from kms.crypto.algorithms.weierstrass import HASHES
from kms.crypto.asymmetric import private_der, public_der
from kms.crypto.errors import AlgorithmUnsupported, ParameterInvalid
from kms.operations.command import ObjectRef
from tests.vectors.corridor import Lab
from tests.vectors.nist import records, sample, vectors
from tests.vectors.wycheproof import asn1

# For --vectors=all on a busy machine.
pytestmark = pytest.mark.timeout(1800)

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
    lab.saw("RFC HMAC", path, valid=checked)


# -- signatures ----------------------------------------------------------------------------------------------------


def test_ecdsa_verification(lab: Lab, *, thorough: bool) -> None:
    """FIPS 186-3 SigVer: the first six of each curve and hash."""
    path = "asymmetric/ECDSA/FIPS_186-3/SigVer.rsp"
    checked = {True: 0, False: 0}
    for vector in sample(vectors(path), 100 if thorough else 6):
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
    lab.saw("NIST ECDSA verify", path, valid=checked[True], invalid=checked[False])


@pytest.mark.parametrize(("name", "padding"), [("SigVer15_186-3.rsp", "PKCS1_V15"), ("SigVerPSS_186-3.rsp", "PSS")])
def test_rsa_verification(lab: Lab, name: str, padding: str) -> None:
    """FIPS 186-3 SigVer, the first of each key, hash and result. NIST's PSS salts of ten bytes are never as long as the
    hash, which is the one length that is offered: all are refused."""
    path = f"asymmetric/RSA/FIPS_186-2/{name}"
    modulus, seen = 0, set()
    for vector in vectors(path):
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
    valid = sum(result.startswith("P") for _, _, result in seen)
    how = {"valid": valid} if padding == "PKCS1_V15" else {"on_purpose": valid}
    lab.saw("NIST RSA verify", path, invalid=len(seen) - valid, **how)


def test_rsa_signatures_are_the_published_ones(lab: Lab, *, thorough: bool) -> None:
    """PKCS#1 v1.5 is deterministic, so the private keys of SigVer15's valid vectors make their signatures again.

    One of each size and hash, the larger keys with one hash: they are slow to check and to use.
    """
    path = "asymmetric/RSA/FIPS_186-2/SigVer15_186-3.rsp"
    pair: dict[str, int] = {}
    made: dict[tuple[int, str], int] = {}
    for vector in vectors(path):
        pair.update({name: vector.number(name) for name in ("n", "p", "q") if name in vector.fields})
        case = (pair["n"].bit_length(), vector.fields.get("SHAAlg", ""))
        if not vector.fields.get("Result", "").startswith("P"):
            continue
        if not thorough and (case in made or (case[0] > 1024 and case[1] != "SHA256")):
            continue
        d, e = vector.number("d"), vector.number("e")
        p, q = pair["p"], pair["q"]
        crt = (d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q))
        private = rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(e, pair["n"])).private_key()
        key = lab.key("RSA", private_der(private).reveal())
        assert lab.sign(key, SignatureParameters(case[1], "PKCS1_V15"), vector.raw("Msg")) == vector.raw("S")
        made[case] = made.get(case, 0) + 1
    sizes = {size for size, _ in made}
    assert len(made) == (5 * len(sizes) if thorough else 5 + len(sizes) - 1)
    assert sizes > {1024, 2048}
    lab.saw("NIST RSA sign", path, valid=sum(made.values()))


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


def test_deterministic_ecdsa(lab: Lab) -> None:
    """RFC 6979 appendix A.2, as OpenSSL writes it down: every signature is made again, every altered one is refused."""
    path = "asymmetric/ECDSA/RFC6979/evppkey_ecdsa_rfc6979.txt"
    keys: dict[str, ObjectRef] = {}
    ends = {"made": 0, "holds": 0, "refused": 0}
    for block in files(cryptography_vectors).joinpath(path).read_text().split("\n\n"):
        name, _, text = block.strip().partition("\n")
        if name.startswith("PrivateKey=P-"):
            private = load_pem_private_key(text.encode(), None)
            assert isinstance(private, ec.EllipticCurvePrivateKey)
            keys[name.partition("=")[2]] = lab.key("EC", private_der(private).reveal(), "sign", "verify", "export")
        fields = dict(line.split(" = ", 1) for line in block.splitlines() if " = " in line)
        key = keys.get(fields.get("Key", "").replace("_PUB", "_PRIV"))
        if key is None:
            continue
        message, signature = fields["Input"].strip('"').encode(), bytes.fromhex(fields["Output"])
        if "DigestSign" in fields:
            parameters = SignatureParameters(fields["DigestSign"], deterministic=True)
            assert lab.sign(key, parameters, message) == signature
            ends["made"] += 1
        else:
            holds = lab.holds(key, SignatureParameters(fields["DigestVerify"]), message, signature)
            assert holds is ("Result" not in fields)
            ends["holds" if holds else "refused"] += 1
    assert ends == {"made": 50, "holds": 50, "refused": 50}
    lab.saw("RFC 6979 ECDSA", path, valid=ends["made"] + ends["holds"], invalid=ends["refused"])


# -- DSA, EdDSA, ML-DSA --------------------------------------------------------------------------------------------


def test_dsa_verification(lab: Lab, *, thorough: bool) -> None:
    """FIPS 186-3 SigVer: the first four of each size and hash. Those of 1024 bits are verified as what is old."""
    path = "asymmetric/DSA/FIPS_186-3/SigVer.rsp"
    group: dict[str, int] = {}
    seen: dict[str, int] = {}
    ends = {True: 0, False: 0}
    for vector in vectors(path):
        group.update({name: vector.number(name) for name in "PQG" if name in vector.fields})
        section = vector.section["mod"]
        seen[section] = seen.get(section, 0) + ("Result" in vector.fields)
        if "Result" not in vector.fields or (seen[section] > 4 and not thorough):
            continue
        parameters = dsa.DSAParameterNumbers(group["P"], group["Q"], group["G"])
        public = dsa.DSAPublicNumbers(vector.number("Y"), parameters).public_key()
        signature = encode_dss_signature(vector.number("R"), vector.number("S"))
        hash_name = section.rpartition(" ")[2].replace("-", "")
        expected = vector.fields["Result"].startswith("P")
        ends[expected] += 1
        try:
            key = lab.key("DSA", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
        except ParameterInvalid:  # "Y changed": it is not in the subgroup
            assert not expected
            continue
        assert lab.holds(key, SignatureParameters(hash_name), vector.raw("Msg"), signature) is expected
    assert min(ends.values()) > 20
    lab.saw("NIST DSA verify", path, valid=ends[True], invalid=ends[False])


def test_ed25519(lab: Lab, *, thorough: bool) -> None:
    """The set of the scheme's authors: every signature is made again, and one of another message does not hold."""
    path = "asymmetric/Ed25519/sign.input"
    lines = files(cryptography_vectors).joinpath(path).read_text().split()
    chosen = lines[:: 1 if thorough else 64]
    for line in chosen:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        signature = signed[:64]
        assert secret[32:] == public
        key = lab.key("EC", asn1.private_key(asn1.ED25519, secret[:32]))
        assert lab.sign(key, SignatureParameters(), message) == signature
        assert lab.holds(key, SignatureParameters("SHA512"), message, signature) is True
        assert lab.holds(key, SignatureParameters(), message + b"!", signature) is False
    lab.saw("Ed25519", path, valid=len(chosen))


def test_ed448(lab: Lab) -> None:
    """RFC 8032 §7.4. The wire has a context only for ML-DSA, so that a signature made with one does not hold."""
    path = "asymmetric/Ed448/rfc8032.txt"
    made = refused = 0
    for vector in vectors(path):
        key = lab.key("EC", asn1.private_key(asn1.ED448, vector.raw("SECRET")))
        message, signature = vector.raw("MESSAGE"), vector.raw("SIGNATURE")
        if "CONTEXT" in vector.fields:
            assert lab.holds(key, SignatureParameters(), message, signature) is False
            with pytest.raises(ParameterInvalid, match="context"):
                lab.holds(key, SignatureParameters(context=vector.raw("CONTEXT")), message, signature)
            refused += 1
        else:
            assert lab.sign(key, SignatureParameters(), message) == signature
            assert lab.holds(key, SignatureParameters(), message, signature) is True
            made += 1
    assert made >= 6
    lab.saw("RFC 8032 Ed448", path, valid=made, on_purpose=refused)


@pytest.mark.parametrize("level", ["44", "65", "87"])
def test_ml_dsa(lab: Lab, level: str, *, thorough: bool) -> None:
    """FIPS 204, pure with a context: the published signature holds under the seed's key, and so does a new one."""
    path = f"asymmetric/MLDSA/kat_MLDSA_{level}_det_pure.rsp"
    chosen = list(records(path))[: None if thorough else 5]
    assert len(chosen) >= 5
    for vector in chosen:
        key = lab.key("MLDSA", asn1.seeded_key(asn1.ML_DSA[level], vector.raw("xi")))
        parameters = SignatureParameters(variant="PURE", context=vector.raw("ctx"))
        message, signed = vector.raw("msg"), vector.raw("sm")
        published = signed[: len(signed) - len(message)]
        assert lab.holds(key, parameters, message, published) is True
        assert lab.holds(key, SignatureParameters(variant="PURE"), message, published) is False
        assert lab.holds(key, parameters, message, lab.sign(key, parameters, message)) is True
    lab.saw("NIST ML-DSA", path, valid=len(chosen))


@pytest.mark.parametrize("hash_name", ["SHA3_256", "BLAKE2B512", "MD5", ""])
def test_hashes_without_vectors_are_refused_for_rsa(lab: Lab, hash_name: str) -> None:
    key = lab.key("RSA", public_der(rsa.generate_private_key(65537, 2048).public_key()))
    with pytest.raises(AlgorithmUnsupported):
        lab.holds(key, SignatureParameters(hash_name), b"", b"")
