#!/usr/bin/env bash
# All benchmarks, in release builds; docs/benchmarks.md holds their results. About ten minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench -p dvrgate-index-duckdb
cargo bench -p dvrgate-footage
benches/idle-memory.sh
