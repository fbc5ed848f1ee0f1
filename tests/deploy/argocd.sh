#!/usr/bin/env bash
# Tries Argo CD's health check of a request, in the Lua interpreter that Argo CD has in it. Needs Go once, to build the interpreter.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

tools=$(tools/build.sh glua)
# The interpreter's exit code tells nothing of what the script found: its last line does.
out=$("$tools/glua" tests/deploy/argocd.lua 2>&1) || { printf '%s\n' "$out" >&2; exit 1; }
printf '%s\n' "$out"
grep -Eqx 'argocd: [1-9][0-9]* passed, 0 failed' <<<"$out"
