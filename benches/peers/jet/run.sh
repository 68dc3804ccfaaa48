#!/usr/bin/env bash
# run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]: Hazelcast Jet between two topics; the settings are the producer's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source ../common/fetch.sh
[ $# -ge 3 ] || die "usage: run.sh BROKERS INPUT OUTPUT [SETTING=VALUE...]"

classpath=$(java_classpath Jet.java ../common/Quotes.java)
# What Hazelcast reaches into on Java 17.
opened=(
    --add-modules java.se
    --add-exports java.base/jdk.internal.ref=ALL-UNNAMED
    --add-opens java.base/java.lang=ALL-UNNAMED
    --add-opens java.base/sun.nio.ch=ALL-UNNAMED
    --add-opens java.management/sun.management=ALL-UNNAMED
    --add-opens jdk.management/com.sun.management.internal=ALL-UNNAMED
)

exec java -Xms256m -Xmx256m -XX:+UseG1GC -XX:MaxGCPauseMillis=5 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    "${opened[@]}" -cp "$classpath" Jet "$@"
