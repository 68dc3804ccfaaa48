#!/usr/bin/env bash
# run.sh QUOTES [AT-ONCE]: Fluvio's SmartEngine over flat quotes, in blocks as the standard input asks for them, so many records a call; a line
# of JSON for each block on the standard output.
set -euo pipefail
quotes=$(realpath -e "${1:?usage: run.sh QUOTES [AT-ONCE]}")
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../common/fetch.sh

built=$(cargo_built)
# As beside Extism: nobody runs it so where speed counts.
unset RUST_BACKTRACE RUST_LIB_BACKTRACE
exec "$built/release/pinion-peer-fluvio" "$built/wasm32-unknown-unknown/guest/guest.wasm" "$quotes" "${2:-1}"
