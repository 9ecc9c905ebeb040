#!/bin/sh
# tools.sh: install the programs that tests run as peers (a directory, a browser, the vendor's Go client, …), or say how.
set -eu
missing=""

need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}

need slapd slapd
need rsyslogd "rsyslog rsyslog-openssl"
need xmlsec1 xmlsec1
need chromium chromium
need npm npm
need go golang
need etcd etcd-server
need faketime faketime
need docker-registry docker-registry
# Containers are made by root only; their tests say so elsewhere.
if [ "$(id -u)" = 0 ]; then
    need containerd containerd
    need runc runc
    need mmdebstrap mmdebstrap
fi

# Chromium without windows, where the distribution has it apart: it is quicker, and tests do with the other.
quicker() {
    command -v chromium-headless-shell >/dev/null 2>&1 && return 0
    command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 0
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium-headless-shell >/dev/null 2>&1 || :
}

if [ -z "$missing" ]; then
    quicker
    exit 0
fi
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    echo "Installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of names
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing; } >/dev/null 2>&1 && quicker && exit 0
    echo "That failed. Run it yourself to see why:  apt-get install -y$missing" >&2
    exit 1
fi
echo "Tests need programs that are not here. Run this, then start again:  sudo apt-get install -y$missing" >&2
exit 1
