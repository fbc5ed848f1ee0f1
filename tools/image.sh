#!/usr/bin/env bash
# Builds the images as OCI archives, without a daemon and without a registry, and prints their sizes:
#
#   target/image/playback-grant-operator-<arch>.tar   target/image/media-api-simulator-<arch>.tar
#
# IMAGE_TAG is their tag, by default the version in Cargo.toml. Binaries are built for this machine's architecture; those of another one are
# packed too when they lie in target/dist/<arch>, where a machine of that kind has built them (the release workflow has one of each).
# The same binaries give the same archives.
#
# With --pack nothing is built: what lies in target/dist is packed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

registry=ghcr.io/playback-grant-operator
limit=15000000

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || die 'Cargo.toml names no version'
tag=${IMAGE_TAG:-$version}
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || die "IMAGE_TAG '$tag' can't be a tag: letters, digits, and _.- after the first, at most 128"

case ${1:-} in
  '') tools/dist.sh ;;
  --pack) ;;
  *) die 'usage: tools/image.sh [--pack]' ;;
esac

buildah=$(tools/buildah.sh)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
mkdir -p target/image

# Storage of its own, which goes with the run; and no configuration of this machine's.
scratch=$(mktemp -d "$PWD/target/image/.work.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/storage"\n' "$scratch" "$scratch" >"$scratch/storage.conf"
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$scratch/policy.json"
: >"$scratch/registries.conf"
: >"$scratch/containers.conf"
export CONTAINERS_STORAGE_CONF=$scratch/storage.conf CONTAINERS_REGISTRIES_CONF=$scratch/registries.conf
export CONTAINERS_CONF=$scratch/containers.conf TMPDIR=$scratch BUILDAH_ISOLATION=chroot
storage=(--root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs)

pack() { # NAME TARGET ARCH
  local name=$1 target=$2 arch=$3
  local archive=target/image/$name-$arch.tar reference=$registry/$name:$tag
  "$buildah" "${storage[@]}" build --quiet --signature-policy "$scratch/policy.json" --format oci --identity-label=false --platform "linux/$arch" --target "$target" \
    --build-arg "TARGETARCH=$arch" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --timestamp "${SOURCE_DATE_EPOCH:-0}" \
    --tag "$reference" --file Containerfile target/dist >/dev/null
  rm -f "$scratch/$name.tar"
  "$buildah" "${storage[@]}" push --quiet --signature-policy "$scratch/policy.json" "$reference" "oci-archive:$scratch/$name.tar:$reference"
  mv "$scratch/$name.tar" "$archive"
  local size digest
  size=$(stat -c %s "$archive")
  digest=$(tar -xOf "$archive" index.json | sed -n 's/.*"digest":"\(sha256:[0-9a-f]*\)".*/\1/p')
  printf '%s  %s, %d.%02d MB (at most %d), %s\n' "$archive" "$reference" $((size / 1000000)) $((size % 1000000 / 10000)) $((limit / 1000000)) "$digest"
  [ "$size" -le "$limit" ] || die "$archive has $size bytes, more than $limit: see what has grown"
}

packed=0
for arch in amd64 arm64; do
  if [ ! -d "target/dist/$arch" ]; then
    printf '%s: not packed, target/dist/%s has no binaries: a machine of that architecture builds them (tools/dist.sh)\n' "$arch" "$arch"
    continue
  fi
  pack playback-grant-operator operator "$arch"
  pack media-api-simulator simulator "$arch"
  packed=$((packed + 1))
done
[ "$packed" -gt 0 ] || die 'target/dist holds no binaries: run tools/dist.sh first'
