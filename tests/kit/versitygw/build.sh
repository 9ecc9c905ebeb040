#!/bin/sh
# build.sh FOLDER: leave FOLDER/versitygw there, the object store (S3 over a folder, Apache-2.0) that tests write to.
#
# It is pinned by its version, and by the checksum that Go's checksum database has of it; its own go.sum pins the rest.
# Exit status 3: the Go that is here cannot build it.
set -eu
version=v1.8.0
mkdir -p "$1"
folder=$(cd "$1" && pwd)
program=$folder/versitygw

exec 9>"$folder/lock"
flock 9
[ -x "$program" ] && [ "$(cat "$folder/version" 2>/dev/null)" = "$version" ] && exit 0

release=$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ "${release:-0}" -lt 21 ]; then # from 1.21 on Go fetches the version of itself that a module asks for
    echo "The object store of the tests needs Go 1.21 or newer to be built; here is $(go env GOVERSION)." >&2
    exit 3
fi
echo "Building an object store for the tests (some minutes, once)" >&2
GOBIN=$folder GOTOOLCHAIN=auto CGO_ENABLED=0 \
    go install -trimpath -ldflags=-s "github.com/versity/versitygw/cmd/versitygw@$version" >&2
echo "$version" >"$folder/version"
