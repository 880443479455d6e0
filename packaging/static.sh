#!/usr/bin/env bash
# Builds a binary that needs no library of the machine it runs on: `packaging/static.sh [musl|gnu]`, musl unless said.
# musl is the one to hand out. gnu links glibc statically, for where the musl target cannot be had; it looks names of
# hosts up through glibc's plug-ins, which are not in it, so give --listen an address of digits.
# Docs: docs/installing.md. Called by packaging/Containerfile, too.
set -euo pipefail
cd "$(dirname "$0")/.."

libc=${1:-musl}
target="$(uname -m)-unknown-linux-$libc"
case $libc in
musl)
    if [[ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]]; then
        echo "static.sh: Rust's library for $target is missing; add it: rustup target add $target" >&2
        echo "static.sh: or build with glibc: packaging/static.sh gnu" >&2
        exit 1
    fi
    if ! command -v musl-gcc >/dev/null; then
        echo "static.sh: musl-gcc is missing, which compiles SQLite and zstd; on Debian: apt-get install musl-tools" >&2
        exit 1
    fi
    ;;
gnu)
    export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
    ;;
*)
    echo "static.sh: \"$libc\" is no C library that this builds with; say musl or gnu" >&2
    exit 2
    ;;
esac

cargo build --release --locked --bin windrow --target "$target"
binary="${CARGO_TARGET_DIR:-target}/$target/release/windrow"

# a name of a loader or of a library would have to be there where it runs
if readelf --program-headers --dynamic "$binary" | grep -E 'INTERP|NEEDED'; then
    echo "static.sh: $binary is not static" >&2
    exit 1
fi
echo "$binary: static, $(stat --format %s "$binary") bytes"
