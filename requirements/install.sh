#!/bin/sh
# install.sh PYTHON ENVIRONMENT LOCK STAMP: leave a virtual environment that holds exactly what the lock file says.
set -eu
python=$1 environment=$2 lock=$3 stamp=$4

cmp -s "$lock" "$stamp" && exit 0

if ! command -v "$python" >/dev/null 2>&1; then
    echo "There is no $python. Install Python 3.11 or newer, or name yours: make PYTHON=/path/to/python3" >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Keystead needs Python 3.11 or newer; $python is $("$python" --version). Name another: make PYTHON=python3.12" >&2
    exit 1
fi

# Debian ships Python without ensurepip; then `python3 -m venv` makes half an environment and fails.
if ! [ -x "$environment/bin/pip" ]; then
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
            echo "Installing python3-venv: apt-get install -y python3-venv"
            export DEBIAN_FRONTEND=noninteractive
            { apt-get -qq install -y --no-install-recommends python3-venv ||
              { apt-get -qq update && apt-get -qq install -y --no-install-recommends python3-venv; }; } >/dev/null 2>&1 || {
                echo "That failed. Run it yourself to see why:  apt-get install -y python3-venv" >&2
                exit 1
            }
        else
            echo "Python's venv module is incomplete. Run this, then start again:  sudo apt-get install -y python3-venv" >&2
            exit 1
        fi
    fi
    echo "Making $environment"
    rm -rf "$environment"
    "$python" -m venv "$environment"
fi

# Sign-on by LDAP is compiled against OpenLDAP's client library.
if grep -q '^python-ldap==' "$lock" && ! [ -e /usr/include/ldap.h ]; then
    headers="gcc python3-dev libldap-dev libsasl2-dev"
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        echo "Installing $headers"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get -qq update && apt-get -qq install -y --no-install-recommends $headers; } >/dev/null 2>&1 || {
            echo "That failed. Run it yourself to see why:  apt-get install -y $headers" >&2
            exit 1
        }
    else
        echo "OpenLDAP's headers are missing. Run this, then start again:  sudo apt-get install -y $headers" >&2
        exit 1
    fi
fi

echo "Installing $lock"
"$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r "$lock"
cp "$lock" "$stamp"
