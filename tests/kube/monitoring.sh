#!/usr/bin/env bash
# Prints the folder with the custom resource definitions of the Prometheus operator, taken from its Go module. A second the first time.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/monitoring"
module=github.com/prometheus-operator/prometheus-operator
export GOTOOLCHAIN=local GOFLAGS=-modcacherw GOMODCACHE=${PINION_CACHE:-$HOME/.cache/pinion}/kube-go/modules
go mod download "$module" >&2
echo "$GOMODCACHE/$module@$(go list -m -mod=readonly -f '{{.Version}}' "$module")/example/prometheus-operator-crd"
