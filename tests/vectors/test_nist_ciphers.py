"""Block ciphers by NIST's validation programs and by RFCs 3686, 4196 and 4269, through the corridor.

A sample of each file: the first vectors of every section (section: what stands in brackets, such as key, IV and tag
length), valid and invalid ones counted apart. ``--vectors=all`` takes every section where `make test` takes some.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from kms.crypto.algorithm import CipherParameters
from kms.crypto.algorithms.aes import CCM_TAG_BITS, GCM_TAG_BITS
from kms.crypto.errors import ParameterInvalid
from kms.hsm.errors import DataRejected
from tests.vectors.corridor import REFUSED, Lab
from tests.vectors.nist import Vector, sample, vectors

# For --vectors=all on a busy machine.
pytestmark = pytest.mark.timeout(1800)

SIZES = (128, 192, 256)
PARTS = ("GFSbox", "KeySbox", "VarKey", "VarTxt", "MMT")


def some(found: Iterable[Vector], each: int, *, thorough: bool) -> list[Vector]:
    """One of ``each`` unless all are wanted."""
    return list(found)[:: 1 if thorough else each]


# -- GCM -----------------------------------------------------------------------------------------------------------


def tagged(vector: Vector) -> bool:
    return int(vector.section["Taglen"]) in GCM_TAG_BITS


@pytest.mark.parametrize("size", SIZES)
def test_gcm_encryption(lab: Lab, size: int, *, thorough: bool) -> None:
    """One of each section with a tag of 96 bits and more and an IV that is not too short for new data."""
    path = f"ciphers/AES/GCM/gcmEncryptExtIV{size}.rsp"
    chosen = some(
        sample((v for v in vectors(path) if tagged(v) and v.section["IVlen"] != "8"), 1), 12, thorough=thorough
    )
    for vector in chosen:
        parameters = CipherParameters("GCM", vector.raw("IV"), vector.raw("AAD"), int(vector.section["Taglen"]))
        made = lab.encrypt(lab.key("AES", vector.raw("Key")), vector.raw("PT"), parameters)
        assert (made.ciphertext, made.tag) == (vector.raw("CT"), vector.raw("Tag"))
    assert len(chosen) == (250 if thorough else 21)  # 2 lengths of IV, 5 of plaintext, 5 of data, 5 of tags
    lab.saw("NIST AES GCM", path, valid=len(chosen))


@pytest.mark.parametrize("size", SIZES)
def test_gcm_decryption(lab: Lab, size: int, *, thorough: bool) -> None:
    """One that opens and one that does not of each section with such a tag, whatever its IV."""
    path = f"ciphers/AES/GCM/gcmDecrypt{size}.rsp"
    ends = {True: 0, False: 0}
    for vector in some(sample(filter(tagged, vectors(path)), 1, "FAIL"), 12, thorough=thorough):
        parameters = CipherParameters("GCM", vector.raw("IV"), vector.raw("AAD"), tag=vector.raw("Tag"))
        key = lab.key("AES", vector.raw("Key"))
        fails = "FAIL" in vector.fields
        if fails:
            with pytest.raises(DataRejected):
                lab.decrypt(key, vector.raw("CT"), parameters)
        else:
            assert lab.decrypt(key, vector.raw("CT"), parameters) == vector.raw("PT")
        ends[fails] += 1
    assert min(ends.values()) > 10
    lab.saw("NIST AES GCM", path, valid=ends[False], invalid=ends[True])


def test_gcm_with_short_tags_is_refused(lab: Lab) -> None:
    """One of each such section, also where the tag is right: SP 800-38D's appendix C is not offered."""
    path = "ciphers/AES/GCM/gcmDecrypt128.rsp"
    refused = [vector for vector in sample(vectors(path), 1) if not tagged(vector)]
    assert {v.section["Taglen"] for v in refused} == {"32", "64"}
    key = lab.key("AES", refused[0].raw("Key"))  # it is not what they are refused for
    for vector in refused:
        iv, aad = vector.raw("IV"), vector.raw("AAD")
        with pytest.raises(ParameterInvalid, match="tag"):
            lab.decrypt(key, vector.raw("CT"), CipherParameters("GCM", iv, aad, tag=vector.raw("Tag")))
        with pytest.raises(ParameterInvalid, match="tag_len"):
            lab.encrypt(key, b"", CipherParameters("GCM", iv, aad, int(vector.section["Taglen"])))
    lab.saw("NIST AES GCM", path, on_purpose=len(refused))


def test_gcm_under_ivs_that_come_again_is_for_decryption_only(lab: Lab) -> None:
    vector = next(v for v in vectors("ciphers/AES/GCM/gcmEncryptExtIV128.rsp") if v.section["IVlen"] == "8")
    key, iv, aad = lab.key("AES", vector.raw("Key")), vector.raw("IV"), vector.raw("AAD")
    opened = lab.decrypt(key, vector.raw("CT"), CipherParameters("GCM", iv, aad, tag=vector.raw("Tag")))
    assert opened == vector.raw("PT")
    with pytest.raises(ParameterInvalid, match="at least 8 bytes"):
        lab.encrypt(key, opened, CipherParameters("GCM", iv, aad))


# -- CCM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", ["VADT", "VNT", "VPT", "VTT"])
def test_ccm_encryption(lab: Lab, part: str, size: int, *, thorough: bool) -> None:
    """SP 800-38C's variable data, nonces, payloads and tags: the first of each."""
    path = f"ciphers/AES/CCM/{part}{size}.rsp"
    made = refused = 0
    for vector in some(ccm_vectors(path), 10, thorough=thorough):
        bits = int(vector.fields["Tlen"]) * 8
        length = int(vector.fields["Plen"])
        data = vector.raw("Adata")[: int(vector.fields["Alen"])]
        parameters = CipherParameters("CCM", vector.raw("Nonce"), data, bits)
        key = lab.key("AES", vector.raw("Key"))
        if bits not in CCM_TAG_BITS:
            with pytest.raises(ParameterInvalid, match="tag_len"):
                lab.encrypt(key, vector.raw("Payload")[:length], parameters)
            refused += 1
            continue
        sealed = lab.encrypt(key, vector.raw("Payload")[:length], parameters)
        assert sealed.ciphertext + (sealed.tag or b"") == vector.raw("CT")
        made += 1
    assert made > 0
    lab.saw("NIST AES CCM", path, valid=made, on_purpose=refused)


@pytest.mark.parametrize("size", SIZES)
def test_ccm_decryption(lab: Lab, size: int, *, thorough: bool) -> None:
    """Decryption and verification process: one that passes and one that fails of each section with such a tag."""
    path = f"ciphers/AES/CCM/DVPT{size}.rsp"
    lengths = ("Alen", "Plen", "Nlen", "Tlen", "Result")
    first = {tuple(v.fields[name][:4] for name in lengths): v for v in reversed(list(ccm_vectors(path)))}
    chosen = ccm_vectors(path) if thorough else first.values()
    ends = {True: 0, False: 0}
    for vector in chosen:
        tag = int(vector.fields["Tlen"])
        if tag * 8 not in CCM_TAG_BITS:
            continue
        sealed, data = vector.raw("CT"), vector.raw("Adata")[: int(vector.fields["Alen"])]
        parameters = CipherParameters("CCM", vector.raw("Nonce"), data, tag=sealed[-tag:])
        key = lab.key("AES", vector.raw("Key"))
        passes = vector.fields["Result"].startswith("Pass")
        if passes:
            assert lab.decrypt(key, sealed[:-tag], parameters) == vector.raw("Payload")[: int(vector.fields["Plen"])]
        else:
            with pytest.raises(DataRejected):
                lab.decrypt(key, sealed[:-tag], parameters)
        ends[passes] += 1
    assert min(ends.values()) > 0
    lab.saw("NIST AES CCM", path, valid=ends[True], invalid=ends[False])


def ccm_vectors(path: str) -> Iterable[Vector]:
    """These files state lengths, key and nonce once for all that follow, in brackets or out of them."""
    standing: dict[str, str] = {}
    for vector in vectors(path):
        for text in (f"{name} = {value}" for name, value in vector.section.items()):
            for part in text.split(","):
                name, _, value = part.partition("=")
                standing[name.strip()] = value.strip()
        standing.update({name: value for name, value in vector.fields.items() if name not in ("Payload", "CT")})
        if "CT" in vector.fields:
            yield Vector({}, {**standing, **vector.fields})


# -- SP 800-38A ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("folder", "prefix", "mode"),
    [("CBC", "CBC", "CBCNOPAD"), ("ECB", "ECB", "ECB"), ("OFB", "OFB", "OFB"), ("CFB", "CFB128", "CFB")],
)
def test_block_modes(lab: Lab, folder: str, prefix: str, mode: str, part: str, size: int, *, thorough: bool) -> None:
    """The first five of each direction, all when every vector is wanted."""
    path = f"ciphers/AES/{folder}/{prefix}{part}{size}.rsp"
    both_ways(lab, "AES", mode, path, 10_000 if thorough else 5)


@pytest.mark.parametrize("size", SIZES)
def test_counter_mode(lab: Lab, size: int) -> None:
    """RFC 3686, all of them: lengths that are no whole blocks among them."""
    path = f"ciphers/AES/CTR/aes-{size}-ctr.txt"
    found = list(vectors(path))
    for vector in found:
        key, parameters = lab.key("AES", vector.raw("KEY")), CipherParameters("CTR", vector.raw("IV"))
        assert lab.encrypt(key, vector.raw("PLAINTEXT"), parameters).ciphertext == vector.raw("CIPHERTEXT")
        assert lab.decrypt(key, vector.raw("CIPHERTEXT"), parameters) == vector.raw("PLAINTEXT")
    lab.saw("NIST AES CTR", path, valid=len(found))


@pytest.mark.parametrize("keys", [1, 2, 3])
@pytest.mark.parametrize(
    ("folder", "prefix", "mode"),
    [("CBC", "TCBC", "CBCNOPAD"), ("ECB", "TECB", "ECB"), ("OFB", "TOFB", "OFB"), ("CFB", "TCFB64", "CFB")],
)
def test_tdea(lab: Lab, folder: str, prefix: str, mode: str, keys: int) -> None:
    """SP 800-20's multi-block messages, all of them. With one key it is DES, which has a kind of its own."""
    both_ways(lab, "DES" if keys == 1 else "DES3", mode, f"ciphers/3DES/{folder}/{prefix}MMT{keys}.rsp", 10)


def test_tdea_with_one_key_is_refused(lab: Lab) -> None:
    """SP 800-67 §3.1: who asked for TDEA would get DES."""
    path = "ciphers/3DES/CBC/TCBCMMT1.rsp"
    found = list(vectors(path))
    for vector in found:
        with pytest.raises(ParameterInvalid, match="only DES"):
            lab.key("DES3", material(vector))
    lab.saw("NIST TDEA", path, on_purpose=len(found))


def test_seed(lab: Lab) -> None:
    """RFC 4196 in CBC and RFC 4269 for single blocks."""
    both_ways(lab, "SEED", "CBCNOPAD", "ciphers/SEED/rfc-4196.txt", 10)
    both_ways(lab, "SEED", "ECB", "ciphers/SEED/rfc-4269.txt", 10)


def both_ways(lab: Lab, kind: str, mode: str, path: str, each: int) -> None:
    """Encryption where the section says ENCRYPT, else decryption."""
    ran = 0
    for vector in sample(vectors(path), each):
        parameters = CipherParameters(mode, None if mode == "ECB" else vector.raw("IV"))
        key = lab.key(kind, vector.raw("KEY1") if kind == "DES" else material(vector))
        if "ENCRYPT" in vector.section:
            assert lab.encrypt(key, vector.raw("PLAINTEXT"), parameters).ciphertext == vector.raw("CIPHERTEXT")
        else:
            assert lab.decrypt(key, vector.raw("CIPHERTEXT"), parameters) == vector.raw("PLAINTEXT")
        ran += 1
    assert ran > 0
    lab.saw(f"NIST {'TDEA' if kind == 'DES3' else kind} {mode}", path, valid=ran)


def material(vector: Vector) -> bytes:
    if "KEY1" not in vector.fields:
        return vector.raw("KEY")
    return b"".join(vector.raw(f"KEY{number}") for number in (1, 2, 3))


# -- CMAC ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "name"), [("AES", "aes128"), ("AES", "aes192"), ("AES", "aes256"), ("DES3", "3des")])
def test_cmac(lab: Lab, kind: str, name: str) -> None:
    """SP 800-38B's examples, all of them."""
    path = f"CMAC/nist-800-38b-{name}.txt"
    found = list(vectors(path))
    for vector in found:
        key, message, mac = lab.key(kind, material(vector)), vector.raw("MESSAGE"), vector.raw("OUTPUT")
        assert lab.mac(key, None, message) == mac
        assert lab.mac_holds(key, None, message, mac) is True
        assert lab.mac_holds(key, None, message + b"!", mac) is False
    lab.saw("NIST CMAC", path, valid=len(found))


# -- key wrapping --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["KW", "KWP"])
def test_key_wrapping(lab: Lab, mode: str, size: int, *, thorough: bool) -> None:
    """The first three of each length. The files count KWP's lengths in bits and write whole bytes."""
    path = f"keywrap/kwtestvectors/{mode}_AE_{size}.txt"
    found = list(sample(vectors(path), 20 if thorough else 3))
    for vector in found:
        assert lab.wrap(lab.key("AES", vector.raw("K")), mode, vector.raw("P")) == vector.raw("C")
    lab.saw(f"NIST AES {mode}", path, valid=len(found))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["KW", "KWP"])
def test_key_unwrapping(lab: Lab, mode: str, size: int, *, thorough: bool) -> None:
    """Two that unwrap and two that do not of each length."""
    path = f"keywrap/kwtestvectors/{mode}_AD_{size}.txt"
    ends = {True: 0, False: 0}
    for vector in sample(vectors(path), 20 if thorough else 2, "FAIL"):
        key = lab.key("AES", vector.raw("K"))
        fails = "FAIL" in vector.fields
        if fails:
            with pytest.raises(REFUSED):
                lab.unwrap(key, mode, vector.raw("C"))
        else:
            assert lab.unwrap(key, mode, vector.raw("C")) == vector.raw("P")
        ends[fails] += 1
    lab.saw(f"NIST AES {mode}", path, valid=ends[False], invalid=ends[True])


@pytest.mark.parametrize("mode", ["KW", "KWP"])
def test_wrapping_with_the_inverse_cipher_is_not_offered(lab: Lab, mode: str) -> None:
    """SP 800-38F §5.1 allows the inverse as the forward function; what it wrapped does not unwrap here."""
    path = f"keywrap/kwtestvectors/{mode}_AE_128_inv.txt"
    found = list(sample(vectors(path), 1))
    for vector in found:
        with pytest.raises(REFUSED):
            lab.unwrap(lab.key("AES", vector.raw("K")), mode, vector.raw("C"))
    lab.saw(f"NIST AES {mode}", path, on_purpose=len(found))
