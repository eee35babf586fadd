#!/usr/bin/env bash
# Prints whose code is compiled into the program and under what terms: each crate with its licence,
# then each licence text once, with the crates that carry it.
set -euo pipefail
cd "$(dirname "$0")/.."

home=${CARGO_HOME:-$HOME/.cargo}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "Crates compiled into dvrgate, with their licences"
echo
# Ours are paths: their lines have a parenthesis.
cargo tree --locked --edges normal --prefix none --no-dedupe --format '{p}|{l}' |
    grep -v '(/' | sed 's/ (proc-macro)//' | sort -u >"$work/crates"
while IFS='|' read -r crate licence; do
    printf '%s: %s\n' "$crate" "$licence"
    name=${crate/ v/-}
    for text in "$home"/registry/src/*/"$name"/{LICEN[CS]E,COPYING,COPYRIGHT,NOTICE,UNLICENSE}*; do
        [ -f "$text" ] || continue
        sum=$(sha256sum <"$text" | cut -d' ' -f1)
        [ -f "$work/$sum.text" ] || cp "$text" "$work/$sum.text"
        echo "$crate" >>"$work/$sum.crates"
    done
done <"$work/crates"

for crates in "$work"/*.crates; do
    printf '\n%s\n' "--------------------------------------------------------------------------------"
    paste -sd, "$crates" | sed 's/,/, /g' | fold -s -w 96
    echo
    cat "${crates%.crates}.text"
done
