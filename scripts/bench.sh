#!/usr/bin/env bash
# The benchmarks, in release builds; docs/benchmarks.md holds their results. On a quiet machine:
#
#   scripts/bench.sh            all of them, about twenty minutes besides building
#   scripts/bench.sh replay     replay only, about eight minutes besides building
#
# What is printed as Markdown goes into docs/benchmarks.md as it is; the replay tables are also kept
# in replay.md of the target folder. LIVE555_MEDIA_SERVER names live555's program (it exists in source
# form only); gst-rtsp-server is measured where gir1.2-gst-rtsp-server-1.0 is installed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(cargo metadata --format-version 1 --no-deps |
    sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
cargo build --quiet --release --features demo

if [ "${1:-all}" = all ]; then
    cargo bench -p dvrgate-index-duckdb
    cargo bench -p dvrgate-footage
fi
DVRGATE_DEMO=$target/release/dvrgate cargo bench -p dvrgate-replay | tee "$target/replay.md"
if [ "${1:-all}" = all ]; then benches/idle-memory.sh "$target/release/dvrgate"; fi
