#!/bin/sh
# The entrypoint of the tests' PostgreSQL image. Like the public image's: POSTGRES_PASSWORD, or the file that
# POSTGRES_PASSWORD_FILE names, is the password of a database made at the first start; then it becomes the command.
set -eu
if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    password=$(mktemp)
    if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
        cat "$POSTGRES_PASSWORD_FILE" >"$password"
    else
        printf '%s' "${POSTGRES_PASSWORD:?is to be set, or POSTGRES_PASSWORD_FILE}" >"$password"
    fi
    initdb --auth-local=trust --auth-host=scram-sha-256 --username=postgres --pwfile="$password" -D "$PGDATA" >/dev/null
    rm "$password"
fi
exec "$@"
