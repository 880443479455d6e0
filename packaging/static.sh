#!/usr/bin/env bash
# Builds a binary that needs no library of the machine it runs on, with musl in place of glibc: docs/installing.md.
# packaging/Containerfile calls it, too.
set -euo pipefail
cd "$(dirname "$0")/.."

if (($#)); then
    echo "static.sh: \"$*\": it takes no argument; it builds for the processor that it runs on" >&2
    exit 2
fi
target="$(uname -m)-unknown-linux-musl"
if [[ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]]; then
    echo "static.sh: Rust's library for $target is missing; add it: rustup target add $target" >&2
    exit 1
fi
if ! command -v musl-gcc >/dev/null; then
    echo "static.sh: musl-gcc is missing, which compiles SQLite and zstd; on Debian: apt-get install musl-tools" >&2
    exit 1
fi

cargo build --release --locked --bin windrow --target "$target"
binary="${CARGO_TARGET_DIR:-target}/$target/release/windrow"

# a name of a loader or of a library would have to be there where it runs
if readelf --program-headers --dynamic "$binary" | grep -E 'INTERP|NEEDED'; then
    echo "static.sh: $binary is not static" >&2
    exit 1
fi
echo "$binary: static, $(stat --format %s "$binary") bytes"
