#!/usr/bin/env bash
# run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]: Quix Streams between two topics; the settings are the producer's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../common/fetch.sh
[ $# -ge 3 ] || die "usage: run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]"

# Nothing is kept there, as no operator has state.
state=${TMPDIR:-/tmp}/pinion-peer-quix-$$
run_python "$1" "$2" "$3" "$state" "${@:4}"
