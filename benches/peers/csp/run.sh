#!/usr/bin/env bash
# run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]: csp between two topics; the settings are the producer's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../common/fetch.sh
[ $# -ge 3 ] || die "usage: run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]"

run_python "$@"
