#!/usr/bin/env bash
# Resident memory of a gateway with one recorder of sixteen channels, synced and idle.
#   benches/idle-memory.sh [PROGRAM [SIMULATOR]]
# PROGRAM is measured; the release build with feature demo by default. SIMULATOR plays the recorder
# where PROGRAM was built without that feature.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${1:-}
if [ -z "$program" ]; then
    cargo build --quiet --release --features demo
    program=$(cargo metadata --format-version 1 --no-deps |
        sed -E 's/.*"target_directory":"([^"]*)".*/\1/')/release/dvrgate
fi
simulator=${2:-$program}
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

{
    printf '[storage]\nfile = "10m"\n'
    for i in $(seq 16); do
        printf '[[channel]]\nid = %d\nname = "Camera %d"\naudio = true\n' "$i" "$i"
        printf '[[channel.recorded]]\nfrom = "-24h"\nto = "now"\n'
    done
} >"$work/scenario.toml"
"$simulator" simulate hikvision --scenario "$work/scenario.toml" >"$work/simulator" 2>/dev/null &
until grep -q ready "$work/simulator" 2>/dev/null; do sleep 0.1; done
url=$(sed -n 's/.*http=\(http:[^ ]*\).*/\1/p' "$work/simulator")
cat >"$work/gateway.toml" <<TOML
[gateway]
data_dir = "data"
http = "127.0.0.1:0"
rtsp = "127.0.0.1:0"
discovery = false
[[user]]
name = "admin"
level = "administrator"
password = "idle"
[[device]]
id = "yard"
vendor = "hikvision"
url = "$url"
username = "admin"
password = "simulated-1"
[sync]
horizon = "2days"
TOML
"$program" sync --config "$work/gateway.toml" >/dev/null 2>&1
"$program" serve --config "$work/gateway.toml" >"$work/gateway" 2>/dev/null &
gateway=$!
until grep -q ready "$work/gateway"; do sleep 0.1; done
# A minute of following the recorder: several looks at what is new, the alert stream.
sleep 60
awk '/VmRSS|VmHWM/ { printf "%s %.0f MB\n", $1, $2 / 1024 }' "/proc/$gateway/status"
