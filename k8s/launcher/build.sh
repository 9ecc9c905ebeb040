#!/bin/sh
# build.sh OUTPUT: build the launcher. GOARCH says for which machine, else this one. No C compiler, no network.
#
# checklinkname=0: dispositions.go reads what the runtime saw of signals before it set its own handlers. The link fails
# where a future runtime has no such variable.
set -eu
case ${1:?"build.sh OUTPUT"} in
    /*) output=$1 ;;
    *) output=$PWD/$1 ;;
esac
cd "$(dirname "$0")"
CGO_ENABLED=0 GOOS=linux go build -trimpath -buildvcs=false -ldflags "-s -w -checklinkname=0" -o "$output" .
