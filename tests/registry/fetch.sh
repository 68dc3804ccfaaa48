#!/usr/bin/env bash
# Builds a real container registry for the tests, once a machine, and prints the path of its program: the CNCF's distribution,
# from its Go module. Needs Go (the version that go.mod names). 2 minutes on two cores the first time.
#
# The folder appears whole or not at all; its name carries a digest of all that goes into it. Progress goes to the standard error.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${PINION_CACHE:-$HOME/.cache/pinion}
digest=$(sha256sum fetch.sh go.mod go.sum main.go | sha256sum | cut -c 1-12)
dir=$cache/registry-$digest
if [ ! -d "$dir" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/registry.lock"
    flock 9 # Another test run may be at it.
    if [ ! -d "$dir" ]; then
        partial=$cache/registry.partial
        rm -rf "$partial" # A killed run may have left it.
        trap 'rm -rf "$partial"' EXIT
        echo 'registry: building distribution from its Go module, 2 minutes on two cores the first time' >&2
        # The caches of tests/kube/fetch.sh: some of the modules are the same.
        export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-buildvcs=false -mod=readonly -modcacherw'
        export GOCACHE=$cache/kube-go/build GOMODCACHE=$cache/kube-go/modules
        go build -trimpath -ldflags '-s -w' -o "$partial/registry" . 2> >(grep -v '^go: downloading' >&2)
        mv -T "$partial" "$dir"
    fi
    exec 9>&-
fi
echo "$dir/registry"
