#!/usr/bin/env bash
# run.sh QUOTES: Extism over flat quotes, in blocks as the standard input asks for them; a line of JSON for each on the standard output.
set -euo pipefail
quotes=$(realpath -e "${1:?usage: run.sh QUOTES}")
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../common/fetch.sh

built=$(cargo_built)
# Set, it has the crate take a backtrace at each call, of an error that nobody sees.
unset RUST_BACKTRACE RUST_LIB_BACKTRACE
exec "$built/release/pinion-peer-extism" "$built/wasm32-unknown-unknown/guest/guest.wasm" "$quotes"
