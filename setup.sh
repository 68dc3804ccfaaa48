#!/usr/bin/env bash
# Checks what building Pinion needs, with `strategies` what the example strategies need besides, and with `tests` what its tests
# do. Installs what is missing where it may (Debian, as root; rustup's own targets), else says exactly what to install. Writes to
# the standard error only.
set -euo pipefail
exec >&2

rust_min=1.95
java_min=17
go_min=1.26 # as tests/kube/etcd/go.mod has it
what_for=${1:-build}

say() { echo "setup: $*"; }

have() { command -v "$1" >/dev/null; }

# Whether version $1 is at least $2.
at_least() { [ "$(printf '%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# install PACKAGE...: Debian packages, or what to type to get them.
install() {
    if ! have apt-get; then
        say "missing; install what Debian calls: $*"
        return 1
    elif [ "$(id -u)" != 0 ]; then
        say "missing; type: sudo apt-get install --no-install-recommends $*"
        return 1
    fi
    say "installing $*"
    apt-get update -qq || say "the package lists could not be refreshed"
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
}

check_rust() {
    local version
    version=$(rustc --version 2>/dev/null | cut -d' ' -f2) || true
    if [ -n "$version" ] && at_least "$version" "$rust_min" && have cargo; then
        return
    fi
    say "Rust $rust_min or later is needed, found ${version:-none}"
    if have rustup; then
        say "type: rustup toolchain install $rust_min && rustup default $rust_min"
    else
        say "install rustup as https://rustup.rs says, then type: rustup default $rust_min"
    fi
    return 1
}

# For librdkafka and OpenSSL's headers.
check_c() {
    local packages=()
    { have cc && have c++ && have make; } || packages+=(build-essential)
    have pkg-config || packages+=(pkg-config)
    { have pkg-config && pkg-config --exists openssl; } || packages+=(libssl-dev)
    [ ${#packages[@]} = 0 ] || install "${packages[@]}"
}

# Strategies are built for wasm32: by rustup's target, else by Debian's Rust, which builds its own standard library.
check_wasm() {
    local target=wasm32-unknown-unknown
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && return
    if have rustup && rustup target add $target; then
        return
    fi
    if [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && have wasm-ld-19 &&
        [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library" ]; then
        return
    fi
    say "rustup has no target $target here; falling back to Debian's Rust"
    install rustc-web cargo-web rust-web-src lld-19
}

# For strategies in Python: `pinion build` makes an environment of its own with it.
check_python() {
    python3 -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return
    say "Python 3.11 or later with venv is needed for the strategies in Python"
    install python3 python3-venv
}

# For the real Kafka broker of the tests. Without them those tests are skipped, and say so.
check_java() {
    local packages=() version
    version=$(java --version 2>/dev/null | head -n 1 | cut -d' ' -f2) || true
    { [ -n "$version" ] && at_least "$version" "$java_min"; } || packages+=("openjdk-$java_min-jre-headless")
    have mvn || packages+=(maven)
    [ ${#packages[@]} = 0 ] || install "${packages[@]}" || say "without these the tests on a real Kafka are skipped"
}

# For the test that counts instructions. Without it that test is skipped, and says so.
check_valgrind() {
    have valgrind || install valgrind || say "without it instructions are not counted"
}

# For the real Kubernetes of the tests, which tests/kube/fetch.sh builds. Without them those tests are skipped, and say so.
check_kube() {
    local packages=() version
    version=$(go env GOVERSION 2>/dev/null) || true
    version=${version#go}
    if [ -z "$version" ] || ! at_least "$version" "$go_min"; then
        say "Go $go_min or later is needed for a real Kubernetes, found ${version:-none}; install it as https://go.dev/doc/install says"
        say "without it the tests on a real Kubernetes are skipped"
    fi
    have openssl || packages+=(openssl)
    have ip || packages+=(iproute2)
    have flock || packages+=(util-linux)
    have python3 && python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
    [ ${#packages[@]} = 0 ] || install "${packages[@]}" || say "without these the tests on a real Kubernetes are skipped"
}

# Clones share cargo's folder, and cargo goes by the times of sources: this clone's must be younger than what another has built.
claim_target() {
    local folder=${CARGO_TARGET_DIR:-}
    [ -n "$folder" ] && [ "$(cat "$folder/clone" 2>/dev/null)" != "$PWD" ] || return 0
    find . -type f \( -name '*.rs' -o -name '*.wit' -o -name '*.wat' \) -exec touch {} +
    mkdir -p "$folder"
    echo "$PWD" >"$folder/clone"
}

check_rust
check_c
check_wasm
claim_target
[ "$what_for" = build ] || check_python
if [ "$what_for" = tests ]; then
    check_java
    check_valgrind
    check_kube
fi
