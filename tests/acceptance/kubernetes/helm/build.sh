#!/bin/sh
# build.sh [--check]: leave helm, and the definitions of others' resources that the chart makes, in the cache that tests
# look in, and print the folder. As ../build.sh does for Kubernetes; about ten minutes the first time.
#
# crds.txt: a published Go module, its version, its checksum as go.sum has it, and the file in it.
set -eu
cd "$(dirname "$0")"

version=$(sed -n 's|^.*helm.sh/helm/v3 \(v[0-9.]*\).*$|\1|p' go.mod)
recipe=$(cat go.mod go.sum crds.txt build.sh | sha256sum | cut -c 1-16)
cache=${KUBERNETES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keystead/kubernetes}
folder=$cache/helm-$version-$recipe

complete() { [ -x "$folder/helm" ]; }
if complete; then
    echo "$folder"
    exit 0
fi
[ "${1:-}" != --check ] || exit 1

release=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ "${release:-0}" -lt 26 ]; then
    echo "Helm $version is built with Go 1.26 or newer; here is ${release:+Go 1.}${release:-none}." >&2
    exit 1
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if ! complete; then
    echo "helm: building $version (about ten minutes the first time)" >&2
    mkdir -p "$folder/crds"
    while read -r module given sum file; do
        got=$(cd "$folder" && GOFLAGS=-mod=mod go mod download -json "$module@$given")
        [ "$(printf %s "$got" | sed -n 's/^\t"Sum": "\(.*\)",$/\1/p')" = "$sum" ] || { echo "$module $given is not what it was" >&2; exit 1; }
        cp "$(printf %s "$got" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')/$file" "$folder/crds/"
    done < crds.txt
    CGO_ENABLED=0 nice go build -p 2 -trimpath -buildvcs=false -ldflags "-s -w" -o "$folder/helm.new" helm.sh/helm/v3/cmd/helm >&2
    mv "$folder/helm.new" "$folder/helm"
fi
echo "$folder"
