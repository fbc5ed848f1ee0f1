#!/usr/bin/env bash
# Shows that others accept the operator's Access Tokens: the vendor's two libraries, their signature checks, and its Player SDK.
#
# A line of the table is one check, with how often it was made. Exits 1 when one doesn't hold, and names it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

interop=tests/interop
cargo=${CARGO:-cargo}
command -v "$cargo" >/dev/null || { echo "error: $cargo is missing; needed: Rust, of the version in rust-toolchain.toml" >&2; exit 1; }
environments=$($interop/setup.sh)
export NODE_PATH=$environments/node/node_modules
"$cargo" build --example interop
rows=$(mktemp)
trap 'rm -f "$rows"' EXIT
checks=0 failed=()

tally() { # NAME: adds up the rows
  local wrong
  wrong=$(sed -n 's/^FAILED *[0-9]*  //p' "$rows" | paste -sd '|' | sed 's/|/; /g')
  [ -z "$wrong" ] || failed+=("$1: $wrong")
  checks=$((checks + $(awk '$1 == "ok" {n += $2} END {print n + 0}' "$rows")))
}

against() { # NAME COMMAND…: holds our tokens against one of them
  local name=$1 code=0
  shift
  "$@" $interop/inputs.json "$cargo" run --quiet --example interop | tee "$rows" || code=$?
  tally "$name"
  # A program that ends early has not made its checks.
  [ "$code" -eq 0 ] || grep -q '^FAILED' "$rows" || failed+=("$name: ended with exit code $code")
}

echo 'Lock files'
verdict=ok
if grep -qE '"resolved"|://[^ ]*\.(tgz|whl|tar)' $interop/node/package-lock.json $interop/python/requirements.txt; then verdict=FAILED; fi
printf '%-6s    2  they hold no download address\n' $verdict | tee "$rows"
tally 'Lock files'
against Python "$environments/python/bin/python" -B $interop/python/check.py
against Node node $interop/node/check.js
against 'Player SDK' node $interop/node/player.js

if [ ${#failed[@]} -gt 0 ]; then
  printf 'interop: FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "interop: all $checks checks hold"
