#!/usr/bin/env bash
# Fuzzes every target for some seconds, starting from the committed corpus. What makes one fail is
# kept in fuzz/artifacts/ and makes this script fail.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]     60 seconds each, all targets
#   MINIMISE=1 scripts/fuzz.sh ...            then adds what reached new code to the corpus
#
# Needed: cargo-fuzz (`cargo install cargo-fuzz`), a C++ compiler, and a nightly toolchain; without
# one the stable compiler is told to behave like it.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift || true
# A recorder sends more, but what is wrong shows in less.
max_bytes=4096
# No target keeps as much, whatever it is given.
max_megabytes=1024
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}

if ! command -v cargo-fuzz >/dev/null; then
    echo "fuzz: cargo-fuzz is not installed; cargo install cargo-fuzz" >&2
    exit 2
fi
if rustup toolchain list 2>/dev/null | grep -q '^nightly'; then
    cargo=(cargo +nightly)
else
    cargo=(cargo)
    export RUSTC_BOOTSTRAP=1
fi

if [ $# -gt 0 ]; then targets=("$@"); else mapfile -t targets < <("${cargo[@]}" fuzz list); fi
# The targets have no unsafe code of their own; without a sanitizer they run twice as fast.
"${cargo[@]}" fuzz build --sanitizer none

failed=()
for target in "${targets[@]}"; do
    found=$CARGO_TARGET_DIR/found/$target
    mkdir -p "$found" "artifacts/$target"
    log=$CARGO_TARGET_DIR/found/$target.log
    if "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/$target" "$found" "corpus/$target" \
        -max_total_time="$seconds" -max_len=$max_bytes -timeout=5 -rss_limit_mb=$max_megabytes \
        -artifact_prefix="artifacts/$target/" -print_final_stats=1 -verbosity=1 >"$log" 2>&1
    then result=ok
    else result=FAILED; failed+=("$target")
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    edges=$(grep -o 'cov: [0-9]*' "$log" | tail -1)
    echo "fuzz: $target: ${runs:-?} runs, ${edges:-cov: ?}, $result"
    if [ -n "${MINIMISE:-}" ] && [ $result = ok ]; then
        "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/$target" -merge=1 -max_len=1024 \
            "corpus/$target" "$found" >>"$log" 2>&1
    fi
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "fuzz: failed: ${failed[*]}; see fuzz/artifacts/ and $CARGO_TARGET_DIR/found/*.log" >&2
    exit 1
fi
