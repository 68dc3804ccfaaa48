#!/usr/bin/env bash
# Makes the images of runtime and operator from programs that are built, as OCI archives; needs no Docker.
#
#   build.sh PROGRAMS OUT           OUT/pinion-runtime.tar, OUT/pinion-operator.tar; a line each: path, digest, bytes of a pull
#   build.sh --trees PROGRAMS OUT   OUT/pinion-runtime/, OUT/pinion-operator/: the file systems alone, for the Dockerfile
#
# PINION_IMAGES    what comes before the images' names: localhost
# PINION_TAG       the programs' version
# SOURCE_DATE_EPOCH  the time that everything carries: the commit's
# PINION_CERTIFICATES  the authorities that Kafka's and Kubernetes' certificates may be from: Debian's
set -euo pipefail

tree=()
[ "$1" != --trees ] || { tree=(--tree) && shift; }
programs=$1 out=$2
cd "$(dirname "${BASH_SOURCE[0]}")/../.." && here=$PWD && cd - >/dev/null

registry=${PINION_IMAGES:-localhost}
certificates=${PINION_CERTIFICATES:-/etc/ssl/certs/ca-certificates.crt}
commit() { git -C "$here" log -1 --format="$1" 2>/dev/null; }
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(commit %ct || echo 0)}
export SOURCE_DATE_EPOCH

revision=()
if commit %H >/dev/null; then
    dirty=$([ -z "$(git -C "$here" status --porcelain)" ] || echo -dirty)
    revision=(--label "org.opencontainers.image.revision=$(commit %H)$dirty")
fi

# image PROGRAM PORT DESCRIPTION
image() {
    local program=$1 version
    version=$("$programs/$program" --version)
    version=${version##* }
    python3 "$here/deploy/images/image.py" "$out/$program$([ ${#tree[@]} -gt 0 ] || echo .tar)" "${tree[@]}" \
        --name "$registry/$program:${PINION_TAG:-$version}" --entrypoint "/bin/$program" --user 65532:65532 --port "$2" \
        --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
        --label "org.opencontainers.image.title=$program" --label "org.opencontainers.image.description=$3" \
        --label "org.opencontainers.image.version=$version" --label org.opencontainers.image.licenses=Apache-2.0 \
        "${revision[@]}" \
        "/bin/$program=$programs/$program" "/etc/ssl/certs/ca-certificates.crt=$certificates" \
        "/usr/share/doc/pinion/LICENSE=$here/LICENSE"
}

mkdir -p "$out"
image pinion-runtime 9101 'Runs sandboxed trading strategies on Kafka market data'
image pinion-operator 9102 "Runs Pinion's tenants, pools and strategies on Kubernetes"
