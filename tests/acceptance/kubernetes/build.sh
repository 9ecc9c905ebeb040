#!/bin/sh
# build.sh [--check]: leave kube-apiserver, kubelet and kubectl in the cache that tests look in, and print the folder.
#
# Kubernetes is a dependency like any other: its published modules, pinned by go.sum, built by `go`. The first time takes
# about ten minutes and 2 GB of memory on two cores. The cache lies outside the checkout, so that a fresh clone on the same
# machine builds nothing. With --check nothing is built: it fails where there is nothing.
set -eu
cd "$(dirname "$0")/apiserver"

version=$(sed -n 's|^\tk8s.io/kubernetes \(v[0-9.]*\)$|\1|p' go.mod)
recipe=$(cat go.mod go.sum main.go kubectl/main.go kubelet/main.go ../build.sh | sha256sum | cut -c 1-16)
cache=${KUBERNETES_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keystead/kubernetes}
folder=$cache/$version-$recipe

complete() { [ -x "$folder/kube-apiserver" ] && [ -x "$folder/kubelet" ] && [ -x "$folder/kubectl" ]; }
if complete; then
    echo "$folder"
    exit 0
fi
[ "${1:-}" != --check ] || exit 1

release=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
if [ "${release:-0}" -lt 24 ]; then
    echo "Kubernetes $version is built with Go 1.24 or newer; here is ${release:+Go 1.}${release:-none}." >&2
    exit 1
fi
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if ! complete; then
    echo "kubernetes: building $version (about ten minutes the first time)" >&2
    mkdir -p "$folder"
    minor=${version#v1.}
    names=k8s.io/component-base/version
    stamp="-s -w -X $names.gitVersion=$version -X $names.gitMajor=1 -X $names.gitMinor=${minor%%.*}"
    for program in kube-apiserver:. kubelet:./kubelet kubectl:./kubectl; do
        name=${program%%:*}
        # Two at a time: the linker alone takes 2 GB. No C compiler is needed.
        CGO_ENABLED=0 nice go build -p 2 -trimpath -buildvcs=false -ldflags "$stamp" -o "$folder/$name.new" "${program#*:}" >&2
        mv "$folder/$name.new" "$folder/$name"
    done
fi
echo "$folder"
