#!/usr/bin/env bash
# Makes the Python that runs the tests of the SDK and of the examples, once, and prints its folder.
#
# Needs Python 3.11 or later with venv. The folder appears whole or not at all; a change of requirements.txt makes it anew.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PINION_CACHE:-$HOME/.cache/pinion}
list=$(sha256sum "$here/requirements.txt")
dir=$cache/python-tests-${list:0:12}

mkdir -p "$cache"
exec 9>"$dir.lock"
flock 9 # Another test run may be making it.
if ! [ -f "$dir/made" ]; then
    echo "installing pytest from the package index" >&2
    rm -rf "$dir"
    python3 -m venv "$dir" >&2
    "$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
        --requirement "$here/requirements.txt" >&2
    touch "$dir/made"
fi
echo "$dir"
