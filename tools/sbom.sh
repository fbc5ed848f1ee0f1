#!/usr/bin/env bash
# Writes what the binaries in target/dist are made of, as they say it themselves, in CycloneDX: target/image/<name>-<arch>.cdx.json.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

[ -d target/dist ] || die 'there are no binaries in target/dist: run `make image` first'
tools=$(tools/cargo-tools.sh auditable2cdx)
mkdir -p target/image
for binary in target/dist/*/*; do
  file=target/image/$(basename "$binary")-$(basename "$(dirname "$binary")").cdx.json
  "$tools/auditable2cdx" "$binary" >"$file.part" || die "$binary tells nothing of its dependencies: build it with tools/dist.sh"
  mv "$file.part" "$file"
  printf '%s: %d components\n' "$file" "$(grep -o '"purl"' "$file" | wc -l)"
done
