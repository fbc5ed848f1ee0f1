#!/usr/bin/env bash
# Builds the images twice, in two folders of different names with nothing built before, and compares the binaries and the archives' digests.
# Takes twice as long as a build from nothing. Builds what is committed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
say() { printf '%s\n' "$*"; }

[ -z "$(git status --porcelain)" ] || say 'changes that are not committed are not part of this'
for folder in "$work/one" "$work/another/place"; do
  start=$SECONDS
  git clone --quiet . "$folder"
  (
    unset CARGO_TARGET_DIR
    cd "$folder"
    tools/image.sh >"$work/log" 2>&1
  ) || { tail -n 20 "$work/log" >&2; say "error: the build in $folder failed" >&2; exit 1; }
  (cd "$folder/target/dist" && find . -type f -exec sha256sum {} + | sort -k 2) >"$folder.sums"
  sed -n 's/^\(target.*\.tar\)  .*, \(sha256:[0-9a-f]*\)$/\2  \1/p' "$work/log" >>"$folder.sums"
  say "built in $((SECONDS - start)) s: $folder"
  rm -rf "$folder/target"
done
if ! diff "$work/one.sums" "$work/another/place.sums" >&2; then
  say 'error: the two builds differ' >&2
  exit 1
fi
[ "$(grep -c 'sha256:' "$work/one.sums")" -ge 2 ] || { say 'error: no archive was built' >&2; exit 1; }
cat "$work/one.sums"
say 'both builds are the same'
