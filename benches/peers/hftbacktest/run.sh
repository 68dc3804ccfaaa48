#!/usr/bin/env bash
# run.sh CAPTURE.gz: hftbacktest over a Binance capture; one line of JSON on the standard output.
set -euo pipefail
capture=$(realpath -e "${1:?usage: run.sh CAPTURE.gz}")
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../common/fetch.sh

run_python "$capture"
