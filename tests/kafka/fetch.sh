#!/usr/bin/env bash
# Fetches Apache Kafka's broker from Maven Central, once, and prints the folder of its jars.
#
# Needs mvn. The folder appears whole or not at all; a change of pom.xml fetches anew. About 10 s and 45 MB the first time.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$here/pom.xml")
cache=${PINION_CACHE:-$HOME/.cache/pinion}
# Two checkouts with different lists may run tests at once: each has its own folder, and none pulls the other's away.
list=$(sha256sum "$here/pom.xml")
dir=$cache/kafka-$version-${list:0:8}

if cmp -s "$here/pom.xml" "$dir/pom.xml"; then
    echo "$dir"
    exit
fi

mkdir -p "$cache"
exec 9>"$dir.lock"
flock 9 # Another test run may be fetching.
if ! cmp -s "$here/pom.xml" "$dir/pom.xml"; then
    echo "fetching Apache Kafka $version from Maven Central" >&2
    partial=$(mktemp -d "$dir.XXXXXX")
    trap 'rm -rf "$partial"' EXIT
    mvn --quiet --batch-mode --no-transfer-progress --strict-checksums --file "$here/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$partial" >&2
    cp "$here/pom.xml" "$partial/"
    rm -rf "$dir"
    mv -T "$partial" "$dir"
fi
echo "$dir"
