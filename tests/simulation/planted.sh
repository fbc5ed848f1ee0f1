#!/usr/bin/env bash
# Plants one fault after the other in a copy of the code, and counts the random histories until one tells.
#
#   tests/simulation/planted.sh [NAME…]    these alone; without any, all of tests/simulation/planted
#
# A history that fails without the fault, too, finds nothing. Exit code 1 when one isn't found within MOST histories.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export LC_ALL=C

# One fault is a small part of the code: what it leaves as it was is not built again.
export CARGO_INCREMENTAL=1
MOST=1000
target=$PWD/target
planted=$PWD/tests/simulation/planted
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(cd "$planted" && ls -- *.patch | sed 's/\.patch$//')
missed=0
built() { sed -n 's/.*"executable":"\([^"]*simulation-[^"]*\)".*/\1/p'; }
sound=$(cargo test --quiet --profile simulate --no-run --test simulation --message-format=json-render-diagnostics | built)
for name in "${names[@]}"; do
  [ -f "$planted/$name.patch" ] || { echo "error: there is no $name.patch in tests/simulation/planted" >&2; exit 2; }
  tree=$target/planted/tree
  rm -rf "$tree"
  mkdir -p "$tree"
  git ls-files -z --cached --others --exclude-standard | { while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done; } \
    | xargs -0 cp --parents -t "$tree"
  cd "$tree"
  # A copy of its own: `git apply` does nothing in a folder that the outer repository ignores.
  git init --quiet && git apply "$planted/$name.patch" || { echo "error: $name.patch doesn't fit the code any more: write it anew" >&2; exit 1; }
  # Not the tree's own folder: cargo would take what is built there for what is written here.
  program=$(CARGO_TARGET_DIR=$target/planted/build cargo test --quiet --profile simulate --no-run --test simulation --message-format=json-render-diagnostics 2>"$target/planted/$name.log" \
    | built) || { cat "$target/planted/$name.log" >&2; exit 1; }
  cd - >/dev/null
  if ! told=$("$program" until-one-fails "$MOST"); then
    missed=$((missed + 1))
  else
    seed=$(sed -n 's/^seed \([0-9]*\), .*/\1/p' <<<"$told")
    "$sound" seeds "${seed:?}" 1 >/dev/null 2>&1 || { told="seed $seed fails without it, too"; missed=$((missed + 1)); }
  fi
  printf '%-50s %s\n' "$name" "$told"
done
if [ "$missed" -gt 0 ]; then
  echo "error: $missed of ${#names[@]} planted faults were not found" >&2
  exit 1
fi
echo "all ${#names[@]} planted faults are found"
