#!/bin/sh
# build.sh FOLDER: leave FOLDER/libkryoptic_pkcs11.so there, the second token that the tests run on.
#
# Kryoptic is a PKCS#11 token in Rust (Apache-2.0). It wants OpenSSL 3.5 for its post-quantum keys, which Debian 12 lacks,
# so a static libcrypto is made from the sources that the crate openssl-src carries. Both crates are pinned by the SHA-256
# of their archives; the lock file inside Kryoptic's archive pins all that it is built from.
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)

kryoptic=1.5.4
kryoptic_sha256=21b64b7679ce821f19a7a48b7e40146f26fbb9daa64ee2acb6376788a26d7ae8
openssl=300.6.1+3.6.3
openssl_sha256=46eb8fb9fb3b61ce1c0f8a026c4c1a0714d3a9e138e7fbde78753ce2babc3846

recipe=$(sha256sum "$0" | cut -d ' ' -f 1)
library=$folder/libkryoptic_pkcs11.so
[ -f "$library" ] && [ "$(cat "$folder/recipe" 2>/dev/null)" = "$recipe" ] && exit 0

# -- what the build needs, and the tests with their pkcs11-tool -------------------------------------------------------

missing=
needs() { # PACKAGE COMMAND…: the command fails where the package is missing
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
has_libclang() {
    ldconfig -p | grep -q 'libclang[-.0-9]*\.so' || ls /usr/lib/llvm-*/lib/libclang*.so* | grep -q 'libclang[-.0-9]*\.so'
}
needs cargo command -v cargo
needs gcc command -v cc
needs make command -v make
needs perl perl -MFindBin -MIPC::Cmd -MFile::Compare -MFile::Copy -e 1
needs pkg-config command -v pkg-config
needs libsqlite3-dev pkg-config --exists sqlite3
needs libclang-dev has_libclang
needs opensc command -v pkcs11-tool
if [ -n "$missing" ]; then
    echo "Kryoptic is built from source, and Debian packages for that or for its tests are missing. Run:  sudo apt-get install$missing" >&2
    exit 1
fi
release=$(cargo --version | sed 's/^cargo 1\.\([0-9]*\).*/\1/')
if [ "$release" -lt 85 ]; then
    echo "Kryoptic needs Rust 1.85 or newer (Debian 13's package cargo, or rustup); here is $(cargo --version)." >&2
    exit 1
fi

# -- sources ----------------------------------------------------------------------------------------------------------

# By recipe, so that an interrupted build goes on where it was and another recipe starts anew.
work=$folder/work-$recipe
crates=$work/crates
mkdir -p "$work/sources"
exec 9>"$folder/lock"
flock 9
[ -f "$library" ] && [ "$(cat "$folder/recipe" 2>/dev/null)" = "$recipe" ] && exit 0

cat >"$work/sources/Cargo.toml" <<MANIFEST
[package]
name = "sources"
version = "0.0.0"
edition = "2021"
[lib]
path = "lib.rs"
[dependencies]
kryoptic = { version = "=$kryoptic", default-features = false }
openssl-src = "=${openssl%%+*}"
MANIFEST
: >"$work/sources/lib.rs"

say() { echo "kryoptic: $*"; }
log=$work/log
: >"$log"
try() { # COMMAND…: quiet, unless it fails
    "$@" >>"$log" 2>&1 || {
        tail -n 20 "$log" | cut -c 1-300 >&2
        echo "Building Kryoptic failed at: $*. All of its output is in $log." >&2
        exit 1
    }
}

say "fetching Kryoptic $kryoptic and OpenSSL ${openssl#*+}"
cd "$work/sources"
try cargo vendor --versioned-dirs "$crates"
for crate in "kryoptic-$kryoptic $kryoptic_sha256" "openssl-src-$openssl $openssl_sha256"; do
    set -- $crate
    grep -q "\"package\":\"$2\"" "$crates/$1/.cargo-checksum.json" || {
        echo "The crate $1 is not the one that is pinned: its archive has another SHA-256." >&2
        exit 1
    }
done

# -- OpenSSL ----------------------------------------------------------------------------------------------------------

say "building OpenSSL's libcrypto (one to six minutes)"
if ! [ -f "$work/openssl/Makefile" ]; then
    rm -rf "$work/openssl"
    cp -R "$crates/openssl-src-$openssl/openssl" "$work/openssl"
    cd "$work/openssl"
    # The algorithms are those that Kryoptic leaves in (its ossl-sys/build.rs). The crate's sources have been thinned
    # out: shared libraries and modules can't be built from them.
    try perl ./Configure no-shared no-module no-legacy no-apps no-tests no-docs no-deprecated no-atexit \
        no-aria no-argon2 no-cast no-des no-dsa no-ec2m no-mdc2 no-rc2 no-rc4 no-rc5 no-rmd160 no-seed no-sm2 no-sm3 no-sm4
fi
cd "$work/openssl"
try make -j "$(nproc)" build_generated libcrypto.a

# -- Kryoptic ---------------------------------------------------------------------------------------------------------

say "building Kryoptic (one to two minutes)"
cd "$crates/kryoptic-$kryoptic"
# ossl/ossl-sys: linked with the OpenSSL above. --locked: exactly what the archive's own lock file names.
KRYOPTIC_OPENSSL_SOURCES=$work/openssl CARGO_TARGET_DIR=$work/target \
    try cargo build --release --locked --no-default-features --features standard,pqc,ossl/ossl-sys

mv "$work/target/release/libkryoptic_pkcs11.so" "$library"
echo "$recipe" >"$folder/recipe"
rm -rf "$folder"/work-*
say "$library"
