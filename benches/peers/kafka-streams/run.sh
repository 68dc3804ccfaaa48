#!/usr/bin/env bash
# run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]: Kafka Streams between two topics; the settings are the producer's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../common/fetch.sh
[ $# -ge 3 ] || die "usage: run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]"

classpath=$(java_classpath Streams.java ../common/Quotes.java)
# No two runs may share it; nothing is kept there, as no operator has state.
state=${TMPDIR:-/tmp}/pinion-peer-streams-$$

exec java -Xms256m -Xmx256m -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    -cp "$classpath" Streams "$1" "$2" "$3" "$state" "${@:4}"
