# Sourced by each peer's run.sh, in the peer's folder: brings what the peer needs into a cache folder outside of the clone, once.
#
# A folder's name holds the hash of what it was made from, so a change of a pinned version or of a source makes a new one.
# It appears whole or not at all, and everything said goes to the standard error.

cache=${PINION_CACHE:-$HOME/.cache/pinion}/peers
peer=$(basename "$PWD")

die() {
    echo "$peer: $*" >&2
    exit 1
}

# once MAKE FILE...: the peer's folder for these files, made by the function MAKE, which is given an empty one.
once() {
    local make=$1 hash dir
    shift
    hash=$(cat "$@" | sha256sum)
    dir=$cache/$peer-${hash:0:8}
    if [ ! -e "$dir" ]; then
        mkdir -p "$cache"
        (
            flock 9 # Another run may be making it.
            [ ! -e "$dir" ] || exit 0
            echo "$peer: fetching into $dir" >&2
            partial=$(mktemp -d "$dir.XXXXXX")
            trap 'rm -rf "$partial"' EXIT
            "$make" "$partial" >&2 && mv -T "$partial" "$dir"
        ) 9>"$dir.lock" || die "could not be fetched"
    fi
    echo "$dir"
}

# java_classpath SOURCE...: the jars of ./pom.xml and the classes of the sources.
java_classpath() {
    local dir
    sources=("$@")
    dir=$(once make_java pom.xml "$@") || exit
    echo "$dir/classes:$dir/*"
}

make_java() {
    { command -v mvn && command -v javac; } >/dev/null || die "needs mvn and javac (Debian: maven, openjdk-17-jdk-headless)"
    mvn --quiet --batch-mode --no-transfer-progress --strict-checksums --file pom.xml \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$1" &&
        javac -cp "$1/*" -d "$1/classes" "${sources[@]}"
}

# python_env: a Python with the packages of ./requirements.txt, whose versions are for Python 3.12 and 3.13.
python_env() {
    local dir
    for base in python3.12 python3.13 python3 "$HOME"/.pyenv/versions/3.1[23].*/bin/python none; do
        "$base" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] not in ((3, 12), (3, 13)))' 2>/dev/null && break
    done
    [ "$base" != none ] || die "needs Python 3.12 or 3.13 with venv"
    dir=$(once make_python requirements.txt <("$base" --version)) || exit
    echo "$dir/bin/python"
}

# run_python ARGUMENT...: ./peer.py by the peer's Python, in the place of this shell.
run_python() {
    local python
    python=$(python_env) || exit
    exec env PYTHONDONTWRITEBYTECODE=1 "$python" peer.py "$@"
}

make_python() {
    "$base" -m venv "$1" &&
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --no-deps -r requirements.txt
}

# cargo_built: the folder that cargo has built ./Cargo.toml and its guest into. Cargo knows what has changed.
cargo_built() {
    local target=wasm32-unknown-unknown
    command -v cargo >/dev/null || die "needs cargo"
    [ -d "$(rustc --print target-libdir --target "$target")" ] || die "needs Rust's target $target (rustup target add $target)"
    {
        cargo build --quiet --locked --release --target-dir "$cache/$peer" &&
            cargo build --quiet --locked --profile guest --target "$target" --package "pinion-peer-$peer-guest" --target-dir "$cache/$peer"
    } >&2 || die "could not be built"
    echo "$cache/$peer"
}
