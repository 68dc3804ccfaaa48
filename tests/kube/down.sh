#!/usr/bin/env bash
# Ends a test cluster when its owner has ended, however that was: waits until the standard input closes, then kills what
# FOLDER/pids names, undoes what node.sh did, and removes FOLDER; but for the logs, if FOLDER/keep exists.
#
#   down.sh FOLDER
set -uo pipefail # Without -e: whatever fails, the rest is to be cleared away.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$1

end() {
    local pid
    pid=$(cat "$folder/pids/$1") || return
    # The owner may have died long ago, and this process id be another's. Ours have their working folder here.
    [ "$(readlink "/proc/$pid/cwd")" != "$folder" ] || kill -KILL -- "-$pid"
}

trap '' INT TERM HUP
cat >/dev/null
exec 2>/dev/null

if [ -e "$folder/node" ]; then
    end kubelet # It would start the containers again.
    "$here/node.sh" stop "$folder"
fi
for file in "$folder"/pids/*; do
    end "${file##*/}"
done
[ ! -e "$folder/node" ] || "$here/node.sh" clear "$folder"
[ ! -e "$folder/route" ] || ip route del local "$(cat "$folder/route")" dev lo
if [ -e "$folder/keep" ]; then
    find "$folder" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} +
else
    rm -rf "$folder"
fi
