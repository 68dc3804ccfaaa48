#!/usr/bin/env bash
# Fetches what draws the charts of report.html, once a machine, and prints the path of its script: TradingView's lightweight-charts
# (Apache-2.0), from the npm registry. Needs npm or curl. It is embedded into `pinion`, so that a report needs no network.
#
# The folder appears whole or not at all, and only with the bytes that the digest below names. Progress goes to the standard error.
set -euo pipefail

version=5.2.1
sha256=e21cc5caa0226ef30bd8549c50b9ef926615f2a4ee6b4e486353477a55f598cf
script=dist/lightweight-charts.standalone.production.js

cache=${PINION_CACHE:-$HOME/.cache/pinion}
dir=$cache/charts-$version
if [ ! -d "$dir" ]; then
    mkdir -p "$cache"
    exec 9>"$cache/charts.lock"
    flock 9 # Another build may be at it.
    if [ ! -d "$dir" ]; then
        partial=$cache/charts.partial
        rm -rf "$partial" # A killed build may have left it.
        trap 'rm -rf "$partial"' EXIT
        mkdir -p "$partial"
        echo "charts: fetching lightweight-charts $version from the npm registry" >&2
        if command -v npm >/dev/null; then
            (cd "$partial" && npm pack --silent "lightweight-charts@$version" >/dev/null)
        else
            curl -fsSL -o "$partial/lightweight-charts-$version.tgz" \
                "https://registry.npmjs.org/lightweight-charts/-/lightweight-charts-$version.tgz"
        fi
        tar -xzf "$partial/lightweight-charts-$version.tgz" -C "$partial" --strip-components=1 "package/$script" package/LICENSE
        echo "$sha256  $partial/$script" | sha256sum --check --quiet >&2
        rm "$partial/lightweight-charts-$version.tgz"
        mv -T "$partial" "$dir"
    fi
    exec 9>&-
fi
echo "$dir/$script"
