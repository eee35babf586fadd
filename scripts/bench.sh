#!/usr/bin/env bash
# All benchmarks, in release builds; docs/benchmarks.md holds their results. About fifteen minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench -p dvrgate-index-duckdb
cargo bench -p dvrgate-footage
cargo bench -p dvrgate-replay
benches/idle-memory.sh
