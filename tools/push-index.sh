#!/usr/bin/env bash
# Pushes the archives of all architectures as one index, and prints its digest.
#
#   tools/push-index.sh NAME DESTINATION   NAME: playback-grant-operator or media-api-simulator
#                                          DESTINATION: docker://REGISTRY/NAME:TAG (after `buildah login`), or oci:FOLDER:TAG to look at it
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { printf 'error: %s\n' "$*" >&2; exit 1; }
[ $# -eq 2 ] || die 'usage: tools/push-index.sh NAME DESTINATION'
name=$1 destination=$2

buildah=$(tools/buildah.sh)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$scratch/policy.json"
storage=(--root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs)
archives=(target/image/"$name"-*.tar)
[ -f "${archives[0]}" ] || die "there is no archive of $name in target/image: run tools/image.sh"

"$buildah" "${storage[@]}" manifest create index >/dev/null
for archive in "${archives[@]}"; do
  "$buildah" "${storage[@]}" manifest add index "oci-archive:$archive" >/dev/null
done
"$buildah" "${storage[@]}" manifest push --quiet --all --format oci --signature-policy "$scratch/policy.json" --digestfile "$scratch/digest" \
  index "$destination" >/dev/null
cat "$scratch/digest"
