"""Rebuild the archives in ``data`` and the tables of ``data/SOURCES.md`` from the crates in Cargo's cache.

To fill the cache, `cargo fetch` in any folder with a Cargo.toml that depends on ``wycheproof-ng = "=0.3.0"``, then
``python -m tests.vectors.pack``. It reads the .crate files themselves and refuses one with another digest.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.vectors.wycheproof.archive import ARCHIVE, SOURCES, SUFFIX, TOKENS, minified, published

VERSION = "0.3.0"
# Crate -> sha256 of its .crate file, as its lock file has it, and which of its files are taken.
CRATES = {
    "wycheproof-ng-aead": (
        "fcb790a6fe5a0a46d5d0b7e4c673008d490f4e1168ce4e36cf95fb7b28ffdb79",
        r"(aes|aria|seed)_(gcm|ccm)",
    ),
    "wycheproof-ng-dh": (
        "ddcbe5d7dc8c4e5416c4d0dbe3c32cd59cee0b86f0cfc7e33dd09fed57a550ee",
        r"ecdh_(secp\d+[kr]1|brainpoolP\d+r1)|x(25519|448)(_asn)?",
    ),
    "wycheproof-ng-dsa": (
        "5a118f7a441a55472619087879c3f8e98b09c5cde8382006a1aeb7800d1f3915",
        r"dsa_\d+_\d+_sha\d+",
    ),
    "wycheproof-ng-ecdsa": (
        "3ee6b3f63a9bd88f4d632ea3a2cb1f0af7d0db834af059c4647a19b5233edefb",
        r"ecdsa_(secp(192|224|256|384|521)\w1|brainpoolP\d+r1)_sha(3_)?\d+",
    ),
    "wycheproof-ng-eddsa": (
        "95f8607fb5231909beabf81eabad245b33dbfb23ddfc85a68d19925f147d67dc",
        r"ed25519|ed448",
    ),
    "wycheproof-ng-fpe": (
        "8fce2d2e0a18938134c311a7f701fef4e5df3d595cc8cf0ab24b6fa714e42fe2",
        r"aes_ff1_(base\d+|radix(255|256|65535|65536))",
    ),
    "wycheproof-ng-kdf-jose": (
        "7ccaf2010c1a9d277f76f97e8ab8e8d392aa2edf8ebe9a269600b3469e11e253",
        r"hkdf_sha\d+",
    ),
    "wycheproof-ng-mldsa": (
        "4aa2bf95e1aef65dd204936cc6eb5bcc56f2939500e6c02d4d90a3cef53c5a65",
        r"mldsa_\d+_(verify|sign_seed)",
    ),
    "wycheproof-ng-mlkem": (
        "f2b243805dc8de3b39151c3f7965a2d3d19610080c28589b173ac2aa80f9cbc4",
        r"mlkem_\d+(_encaps)?",
    ),
    "wycheproof-ng-rsa-encryption": (
        "70ad4c0bd9ac7f8cf60534e0f6307099f0902931196011df7e45b1ae7c4f73f8",
        r"rsa_pkcs1_(2048|3072)|rsa_(three_primes_)?oaep_(\d+_sha\d+_mgf1sha\d+|misc)",
    ),
    "wycheproof-ng-rsa-signature": (
        "1068d41b00f4b6b8b7d39887eecd98233e07a2156e9651083f8e06ba500d17e7",
        r"rsa_pkcs1_\d+_sig_gen|rsa_signature_(2048_sha(224|256|384|512|3_256)|3072_sha256|4096_sha512)"
        r"|rsa_pss_(2048|3072)_sha\d+_mgf1(sha1)?_\d+|rsa_pss_4096_sha512_mgf1_64|rsa_pss_misc",
    ),
    "wycheproof-ng-symmetric": (
        "ce27f225329e19044480b9d9cc3a6cb546e307360f9b168210e8cb3e80ab2180",
        r"aes_gmac|(aes|aria)_(cbc_pkcs5|cmac)|(aes|aria|seed)_(wrap|kwp)|hmac_sha(3_)?\d+",
    ),
}
_JOSE = "wycheproof-ng-kdf-jose"
ARCHIVES = {ARCHIVE: CRATES, TOKENS: {_JOSE: (CRATES[_JOSE][0], r"json_web_(crypto|encryption|key|signature)")}}
# Like files stand side by side, and the window is wider than all of them together.
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 26}]


def main() -> int:
    everything: dict[str, tuple[str, bytes]] = {}
    for path, crates in ARCHIVES.items():
        taken = dict(sorted((name, entry) for crate in crates for name, entry in _chosen(crate, *crates[crate])))
        path.write_bytes(lzma.compress(_tar({name: body for name, (_, body) in taken.items()}), filters=_FILTERS))
        print(f"{path.name}: {len(taken)} files, {path.stat().st_size} bytes")
        everything |= taken
    _write_tables(dict(sorted(everything.items())))
    return 0


def _chosen(crate: str, digest: str, pattern: str) -> Iterator[tuple[str, tuple[str, bytes]]]:
    content = _cached(crate)
    if hashlib.sha256(content).hexdigest() != digest:
        raise SystemExit(f"{crate} {VERSION} in Cargo's cache is not the published crate")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for member in archive:
            name = Path(member.name).name
            file = archive.extractfile(member)
            if file is not None and re.fullmatch(f"({pattern}){re.escape(SUFFIX)}", name):
                yield name, (crate, file.read())


def _cached(crate: str) -> bytes:
    home = Path(os.environ.get("CARGO_HOME", "~/.cargo")).expanduser()
    for path in (home / "registry" / "cache").glob(f"*/{crate}-{VERSION}.crate"):
        return path.read_bytes()
    raise SystemExit(f"{crate} {VERSION} is not in Cargo's cache; see this script's first lines")


def _tar(files: dict[str, bytes]) -> bytes:
    """Nothing in it but names and content, so that it is the same wherever it is made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, body in files.items():
            content = minified(body)
            if published(content) != body:
                raise SystemExit(f"{name} is laid out in a way that cannot be given back")
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def _write_tables(taken: dict[str, tuple[str, bytes]]) -> None:
    """Everything below the marker line is written here; what stands above it is not."""
    above, marker, _ = SOURCES.read_text().partition("<!-- tables -->\n")
    if not marker:
        raise SystemExit(f"{SOURCES.name} has no line <!-- tables -->")
    lines = [
        "",
        "| archive | bytes | sha256 |",
        "|---|---|---|",
        *(
            f"| `{path.name}` | {path.stat().st_size} | `{hashlib.sha256(path.read_bytes()).hexdigest()}` |"
            for path in ARCHIVES
        ),
        "",
        f"| crate, version {VERSION} | files | sha256 of the crate |",
        "|---|---|---|",
        *(
            f"| `{crate}` | {sum(crate == source for source, _ in taken.values())} | `{digest}` |"
            for crate, (digest, _) in CRATES.items()
        ),
        "",
        "| file | sha256 as published |",
        "|---|---|",
        *(f"| `{name}` | `{hashlib.sha256(body).hexdigest()}` |" for name, (_, body) in taken.items()),
    ]
    SOURCES.write_text(above + marker + "\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
