#!/usr/bin/env bash
# smoke.sh [PEER...]: each end-to-end peer gets 200 quotes over a real Apache Kafka; its orders are checked one by one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
kafka=$(realpath ../../tests/kafka)
jars=$("$kafka/fetch.sh")
python=$(cd quix && source ../common/fetch.sh && python_env) # It brings a Kafka client.

dir=$(mktemp -d)
broker=
trap '[ -z "$broker" ] || { kill "$broker"; wait "$broker"; } || true; rm -rf "$dir"' EXIT

read -r port controller < <("$python" -c '
import socket
ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(port.getsockname()[1] for port in ports))')
cp "$kafka/server.properties" "$dir"
cat >>"$dir/server.properties" <<EOF
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.quorum.voters=1@127.0.0.1:$controller
log.dirs=$dir/data
EOF
java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dlog4j2.configurationFile=$kafka/log4j2.properties" -cp "$jars/*")
"${java[@]}" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$dir/server.properties" >"$dir/log" 2>&1
"${java[@]}" kafka.Kafka "$dir/server.properties" >>"$dir/log" 2>&1 &
broker=$!
until grep -q 'Kafka Server started' "$dir/log"; do
    kill -0 "$broker" 2>/dev/null || { tail "$dir/log" >&2; exit 1; }
    sleep 0.1
done

[ $# -gt 0 ] || set -- kafka-streams jet csp quix
for peer; do
    "$python" smoke.py "127.0.0.1:$port" "$peer" || { tail -n 5 "$dir/log" >&2; exit 1; }
done
