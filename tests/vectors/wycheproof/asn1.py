"""Keys that are published as bare bytes, in the encodings that the wire takes. Nothing is checked here."""

from __future__ import annotations

# RFC 8410 §3 and the NIST arc 2.16.840.1.101.3.4.4 (FIPS 203), as contents of an OBJECT IDENTIFIER.
X25519, X448 = bytes.fromhex("2b656e"), bytes.fromhex("2b656f")
ED25519, ED448 = bytes.fromhex("2b6570"), bytes.fromhex("2b6571")
ML_KEM = {
    "ML-KEM-512": bytes.fromhex("608648016503040401"),
    "ML-KEM-768": bytes.fromhex("608648016503040402"),
    "ML-KEM-1024": bytes.fromhex("608648016503040403"),
}
ML_DSA = {
    "44": bytes.fromhex("608648016503040311"),
    "65": bytes.fromhex("608648016503040312"),
    "87": bytes.fromhex("608648016503040313"),
}
# SEC 2 §A and RFC 5639 §4.1, with the bytes of a private key.
CURVES = {
    "secp224r1": ("2b81040021", 28),
    "secp256r1": ("2a8648ce3d030107", 32),
    "secp384r1": ("2b81040022", 48),
    "secp521r1": ("2b81040023", 66),
    "secp256k1": ("2b8104000a", 32),
    "brainpoolP224r1": ("2b2403030208010105", 28),
    "brainpoolP256r1": ("2b2403030208010107", 32),
    "brainpoolP320r1": ("2b2403030208010109", 40),
    "brainpoolP384r1": ("2b240303020801010b", 48),
    "brainpoolP512r1": ("2b240303020801010d", 64),
}


def tlv(tag: int, *parts: bytes) -> bytes:
    """A DER element (X.690 §8.1.3)."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def public_key(algorithm: bytes, key: bytes) -> bytes:
    """SubjectPublicKeyInfo without parameters (RFC 5280 §4.1)."""
    return tlv(0x30, tlv(0x30, tlv(0x06, algorithm)), tlv(0x03, b"\0", key))


def private_key(algorithm: bytes, key: bytes) -> bytes:
    """PrivateKeyInfo (RFC 5208 §5) around a CurvePrivateKey (RFC 8410 §7)."""
    return tlv(0x30, tlv(0x02, b"\0"), tlv(0x30, tlv(0x06, algorithm)), tlv(0x04, tlv(0x04, key)))


def seeded_key(algorithm: bytes, seed: bytes) -> bytes:
    """PrivateKeyInfo around the seed form of RFC 9881 §6 and RFC 9935 §6."""
    return tlv(0x30, tlv(0x02, b"\0"), tlv(0x30, tlv(0x06, algorithm)), tlv(0x04, tlv(0x80, seed)))


def scalar_key(curve: str, scalar: int) -> bytes:
    """PrivateKeyInfo around an ECPrivateKey without its public half (RFC 5915 §3)."""
    oid, size = CURVES[curve]
    algorithm = tlv(0x30, tlv(0x06, bytes.fromhex("2a8648ce3d0201")), tlv(0x06, bytes.fromhex(oid)))
    inner = tlv(0x30, tlv(0x02, b"\1"), tlv(0x04, scalar.to_bytes(size, "big")))
    return tlv(0x30, tlv(0x02, b"\0"), algorithm, tlv(0x04, inner))
