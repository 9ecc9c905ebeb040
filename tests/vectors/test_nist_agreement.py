"""Keys from keys by NIST's validation programs and RFCs 5869, 7027 and 7748; RSA decryption. Through the corridor."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kms.crypto.algorithm import CipherParameters
from kms.crypto.asymmetric import private_der, public_der
from kms.crypto.kdf import MAX_ITERATIONS, MIN_ITERATIONS, MIN_SALT
from kms.crypto.options import KeyOptions, PaddingRule, RsaOptions
from kms.hsm.errors import DataRejected
from kms.operations.agreement import AgreeKey, DecapsulateKey, InlineKey
from kms.operations.derivation import CounterKdf, DeriveKey, Hkdf, PasswordKdf
from tests.vectors.corridor import REFUSED, Lab
from tests.vectors.nist import Vector, records, sample, vectors
from tests.vectors.wycheproof import asn1

# For --vectors=all on a busy machine.
pytestmark = pytest.mark.timeout(1800)

# NIST's parameter sets of the KAS test, in the order of the curves P-192 to P-521.
CURVES: dict[str, type[ec.EllipticCurve]] = {
    "EA": ec.SECP192R1,
    "EB": ec.SECP224R1,
    "EC": ec.SECP256R1,
    "ED": ec.SECP384R1,
    "EE": ec.SECP521R1,
}
BRAINPOOL: dict[str, type[ec.EllipticCurve]] = {
    "brainpoolP256r1": ec.BrainpoolP256R1,
    "brainpoolP384r1": ec.BrainpoolP384R1,
    "brainpoolP512r1": ec.BrainpoolP512R1,
}


def agreed(lab: Lab, private: bytes, public: bytes, secret_bytes: int) -> bytes:
    key = lab.key("EC", private, "agree")
    view = lab.run(AgreeKey(key, InlineKey("EC", public), lab.secret_template(size=secret_bytes * 8)))
    return lab.exported(view.row.id)


def test_ecdh(lab: Lab, *, thorough: bool) -> None:
    """SP 800-56A's validity test: the secret is the published one where it passes, and no other where it fails."""
    path = "asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_init.fax"
    ends = {True: 0, False: 0}
    for vector in sample(filter(lambda v: "Z" in v.fields, vectors(path)), 30 if thorough else 8):
        curve = CURVES[next(iter(vector.section))[:2]]()
        passes = vector.fields["Result"].startswith("P")
        try:
            peer = ec.EllipticCurvePublicNumbers(vector.number("QsCAVSx"), vector.number("QsCAVSy"), curve).public_key()
        except ValueError:  # the peer's key was moved off the curve, so that it cannot be written down
            assert not passes
            continue
        if "IUT's" in vector.fields["Result"]:  # one's own key pair does not fit together, and only half of it is asked
            continue
        own = ec.derive_private_key(vector.number("dsIUT"), curve)
        secret = agreed(lab, private_der(own).reveal(), public_der(peer), len(vector.raw("Z")))
        assert (secret == vector.raw("Z")) is passes
        ends[passes] += 1
    assert min(ends.values()) > 0
    lab.saw("NIST ECDH", path, valid=ends[True], invalid=ends[False])


def test_ecdh_on_brainpool_curves(lab: Lab) -> None:
    """RFC 7027, both sides."""
    path = "asymmetric/ECDH/brainpool.txt"
    ran = 0
    for vector in vectors(path):
        curve = BRAINPOOL[vector.fields["curve"]]()
        alice, bob = (ec.derive_private_key(vector.number(name), curve) for name in ("dA", "dB"))
        assert alice.public_key().public_numbers().x == vector.number("x_qA")
        size = (curve.key_size + 7) // 8
        for own, peer in ((alice, bob), (bob, alice)):
            secret = agreed(lab, private_der(own).reveal(), public_der(peer.public_key()), size)
            assert int.from_bytes(secret, "big") == vector.number("x_Z")
        ran += 1
    assert ran == 3
    lab.saw("RFC 7027 ECDH", path, valid=ran)


@pytest.mark.parametrize(("name", "algorithm"), [("X25519", asn1.X25519), ("X448", asn1.X448)])
def test_montgomery_curves(lab: Lab, name: str, algorithm: bytes) -> None:
    """RFC 7748 §5.2. A scalar with the wrong bits set is the same private key."""
    path = f"asymmetric/{name}/rfc7748.txt"
    found = [vector for vector in vectors(path) if "INPUT_U" in vector.fields]
    for vector in found:
        private = asn1.private_key(algorithm, vector.raw("INPUT_SCALAR"))
        public = asn1.public_key(algorithm, vector.raw("INPUT_U"))
        published = vector.raw("OUTPUT_U")
        assert agreed(lab, private, public, len(published)) == published
    assert len(found) >= 2
    lab.saw(f"RFC 7748 {name}", path, valid=len(found))


@pytest.mark.parametrize("name", ["768", "1024"])
def test_ml_kem(lab: Lab, name: str, *, thorough: bool) -> None:
    """FIPS 203: the secret in the ciphertext, and the one that comes out of a ciphertext made for nobody (§6.3)."""
    path = f"asymmetric/MLKEM/kat_MLKEM_{name}.rsp"
    found = list(records(path))[: None if thorough else 5]
    assert len(found) >= 5
    algorithm = asn1.ML_KEM[f"ML-KEM-{name}"]
    for vector in found:
        key = lab.key("MLKEM", asn1.seeded_key(algorithm, vector.raw("d") + vector.raw("z")))
        for ciphertext, secret in (("ct", "ss"), ("ct_n", "ss_n")):
            view = lab.run(DecapsulateKey(key, vector.raw(ciphertext), lab.secret_template()))
            assert lab.exported(view.row.id) == vector.raw(secret)
        with pytest.raises(REFUSED):
            lab.run(DecapsulateKey(key, vector.raw("ct")[:-1], lab.secret_template()))
    lab.saw("NIST ML-KEM", path, valid=len(found))


@pytest.mark.parametrize("name", ["SHA1", "SHA256"])
def test_hkdf(lab: Lab, name: str) -> None:
    """RFC 5869 appendix A."""
    path = f"KDF/rfc-5869-HKDF-{name}.txt"
    ran, fields = 0, dict[str, str]()
    for vector in vectors(path):  # an empty line stands between what goes in and what comes out
        fields.update(vector.fields)
        if "OKM" not in vector.fields:
            continue
        whole = Vector({}, fields)
        key = lab.key("SECRET", whole.raw("IKM"), "derive")
        mechanism = Hkdf(name, whole.raw("salt"), whole.raw("info"))
        view = lab.run(DeriveKey(key, mechanism, lab.secret_template(size=int(fields["L"]) * 8)))
        assert lab.exported(view.row.id) == whole.raw("OKM")
        ran += 1
    assert ran >= 3
    lab.saw("RFC 5869 HKDF", path, valid=ran)


KBKDF = "KDF/nist-800-108-KBKDF-CTR.txt"
_KBKDF_KINDS = {"CMAC_AES": "AES", "CMAC_TDES3": "DES3", "HMAC_SHA": "HMAC"}


def test_counter_mode_kdf(lab: Lab) -> None:
    """SP 800-108: the sections with a 32-bit counter before the fixed input; two vectors of each PRF."""
    ran: dict[str, int] = {}
    for prf, vector in _counter_vectors():
        kind = next((kind for start, kind in _KBKDF_KINDS.items() if prf.startswith(start)), None)
        if kind is None or ran.get(prf, 0) == 2:
            continue
        key = lab.key(kind, vector.raw("KI"), "derive")
        hash_name = prf.removeprefix("HMAC_") if kind == "HMAC" else None
        mechanism = CounterKdf(hash_name, fixed=vector.raw("FixedInputData"))
        view = lab.run(DeriveKey(key, mechanism, lab.secret_template(size=int(vector.fields["L"]))))
        assert lab.exported(view.row.id) == vector.raw("KO"), prf
        ran[prf] = ran.get(prf, 0) + 1
    assert sorted(ran) == sorted(
        ["CMAC_AES128", "CMAC_AES192", "CMAC_AES256", "CMAC_TDES3"]
        + [f"HMAC_SHA{size}" for size in (1, 224, 256, 384, 512)]
    )
    lab.saw("NIST SP 800-108", KBKDF, valid=sum(ran.values()))


def _counter_vectors() -> Iterator[tuple[str, Vector]]:
    """The file says PRF, place and width of the counter, each in a line of its own that holds until the next such."""
    section, fields = dict[str, str](), dict[str, str]()
    for line in files(cryptography_vectors).joinpath(KBKDF).read_text().splitlines():
        name, _, value = line.strip().strip("[]").partition("=")
        if line.startswith("["):
            section[name.strip()] = value.strip()
        elif value:
            fields[name.strip()] = value.strip()
        if name.strip() == "KO" and (section["CTRLOCATION"], section["RLEN"]) == ("BEFORE_FIXED", "32_BITS"):
            yield section["PRF"], Vector(section, dict(fields))


def test_pbkdf2(lab: Lab) -> None:
    """RFC 6070. Most of its vectors have salts or counts that SP 800-132 does not allow: those are refused."""
    path, ends = "KDF/rfc-6070-PBKDF2-SHA1.txt", {True: 0, False: 0}
    for vector in vectors(path):
        if "DERIVED_KEY" not in vector.fields:
            continue
        fields = {name: value.replace("\\0", "\0").encode() for name, value in vector.fields.items()}
        key = lab.key("SECRET", fields["PASSWORD"], "derive")
        mechanism = PasswordKdf("SHA1", fields["SALT"], int(fields["ITERATIONS"]))
        command = DeriveKey(key, mechanism, lab.secret_template(size=int(fields["LENGTH"]) * 8))
        allowed = len(fields["SALT"]) >= MIN_SALT and MIN_ITERATIONS <= mechanism.iterations <= MAX_ITERATIONS
        ends[allowed] += 1
        if allowed:
            assert lab.exported(lab.run(command).row.id) == vector.raw("DERIVED_KEY")
        else:
            with pytest.raises(REFUSED):
                lab.run(command)
    assert ends[True]
    lab.saw("RFC 6070 PBKDF2", path, valid=ends[True], on_purpose=ends[False])


# -- RSA decryption ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"])
def test_rsa_oaep(lab: Lab, hash_name: str, *, thorough: bool) -> None:
    path = "asymmetric/RSA/pkcs-1v2-1d2-vec/oaep-vect.txt"
    if hash_name != "SHA1":
        path = f"asymmetric/RSA/oaep-custom/oaep-{hash_name.lower()}-{hash_name.lower()}.txt"
    right = CipherParameters(padding="OAEP", mgf_hash=hash_name)
    wrong = CipherParameters(padding="OAEP", mgf_hash=hash_name, label=b"another")
    ran = 0
    for key, message, ciphertext in rsa_vectors(path, keys=100 if thorough else 1):
        imported = lab.key("RSA", private_der(key).reveal())
        assert lab.decrypt(imported, ciphertext, right) == message
        with pytest.raises(DataRejected):
            lab.decrypt(imported, ciphertext, wrong)
        ran += 1
    assert ran >= 6
    lab.saw("RSA OAEP", path, valid=ran)


def test_rsa_pkcs1_v15(lab: Lab, *, thorough: bool) -> None:
    """With a key whose owner allows it; an altered ciphertext gives bytes that are not the message."""
    path = "asymmetric/RSA/pkcs1v15crypt-vectors.txt"
    options = KeyOptions(rsa=RsaOptions(encryption=(PaddingRule("PKCS1_V15"),)))
    parameters = CipherParameters(padding="PKCS1_V15")
    ran = 0
    for key, message, ciphertext in rsa_vectors(path, keys=100 if thorough else 1):
        imported = lab.key("RSA", private_der(key).reveal(), options=options)
        assert lab.decrypt(imported, ciphertext, parameters) == message
        altered = ciphertext[:-1] + bytes([ciphertext[-1] ^ 1])
        assert lab.decrypt(imported, altered, parameters) != message
        ran += 1
    assert ran >= 5
    lab.saw("RSA PKCS#1 v1.5", path, valid=ran)


def rsa_vectors(path: str, *, keys: int) -> Iterator[tuple[rsa.RSAPrivateKey, bytes, bytes]]:
    """Key, message and ciphertext, of the first keys whose modulus fills whole bytes; others are not imported.

    Every value stands below its name, the private key's below the public one's, of the same names.
    """
    values: dict[str, str] = {}
    name = ""
    moduli: set[str] = set()
    for line in [*files(cryptography_vectors).joinpath(path).read_text().splitlines(), "# End"]:
        if not line.startswith("#"):
            values[name] = values.get(name, "") + line.replace(" ", "").strip()
            continue
        if "encryption" in values:
            message, ciphertext = bytes.fromhex(values["message"]), bytes.fromhex(values.pop("encryption"))
            moduli.add(values["modulus"])
            if len(moduli) > keys:
                return
            if int(values["modulus"], 16).bit_length() % 8 == 0:
                yield _private(values), message, ciphertext
        name = line.strip("# ").removesuffix(":").lower()
        values[name] = ""


def _private(values: dict[str, str]) -> rsa.RSAPrivateKey:
    n, e, d, p, q = (int(values[name], 16) for name in ("modulus", "public exponent", "exponent", "prime 1", "prime 2"))
    crt = (d % (p - 1), d % (q - 1), rsa.rsa_crt_iqmp(p, q))
    return rsa.RSAPrivateNumbers(p, q, d, *crt, rsa.RSAPublicNumbers(e, n)).private_key()
