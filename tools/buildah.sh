#!/usr/bin/env bash
# Prints the path of a buildah: the one on the PATH, or else, on Debian as root, one unpacked into the cache folder with what it needs.
# Nothing is installed into the system: the packages are only unpacked. With --clean they are removed.
set -euo pipefail

cache=${PLAYBACK_GRANT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/playback-grant-operator}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

if [ "${1:-}" = --clean ]; then
  rm -rf "$cache/buildah"
  say "removed $cache/buildah"
  exit 0
fi
[ $# -eq 0 ] || die 'usage: tools/buildah.sh [--clean]'
if found=$(command -v buildah); then
  printf '%s\n' "$found"
  exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null || [ "$(id -u)" -ne 0 ]; then
  die 'images are built by buildah, and there is none on the PATH: install buildah (on Debian, as root, it is fetched by itself)'
fi

release=$(. /etc/os-release && printf '%s-%s' "$ID" "${VERSION_ID:-rolling}")
home=$cache/buildah/$release-$(dpkg --print-architecture)
if [ ! -x "$home/buildah" ]; then
  mkdir -p "$cache/buildah"
  exec 9>"$cache/buildah/.lock"
  flock 9 # of two at once the second waits for the first
fi
if [ ! -x "$home/buildah" ]; then
  say "fetching buildah from Debian's packages, once, into $home"
  part=$(mktemp -d "$cache/buildah/.part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  trap 'exit 130' INT TERM HUP
  mkdir -p "$part"/{lists,archives}/partial "$part/unpacked"
  # apt-get's own folders are left alone: lists and packages go here.
  apt=(apt-get -qq -o Dir::State::Lists="$part/lists" -o Dir::Cache="$part" -o APT::Sandbox::User=root -o Acquire::Languages=none)
  "${apt[@]}" update >&2 || die "Debian's package lists can't be fetched: check the network and apt's sources"
  "${apt[@]}" -o Debug::NoLocking=1 --download-only -y --no-install-recommends install buildah >&2 9>&- \
    || die "Debian's package buildah can't be fetched: check the network and apt's sources"
  for package in "$part"/archives/*.deb; do dpkg-deb -x "$package" "$part/unpacked"; done
  [ -x "$part/unpacked/usr/bin/buildah" ] || die "Debian's package buildah has no usr/bin/buildah"
  # Debian's own place for libraries, whatever the architecture is called.
  cat >"$part/buildah" <<'SCRIPT'
#!/bin/sh
home=$(cd "$(dirname "$0")" && pwd)
libraries=
for folder in "$home"/unpacked/lib/*-linux-gnu* "$home"/unpacked/usr/lib/*-linux-gnu*; do
  if [ -d "$folder" ]; then libraries=$libraries${libraries:+:}$folder; fi
done
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$home/unpacked/usr/bin/buildah" "$@"
SCRIPT
  chmod +x "$part/buildah"
  rm -rf "$part/lists" "$part/archives" "$part"/*.bin "$home"
  mv "$part" "$home"
  trap - EXIT
fi
printf '%s\n' "$home/buildah"
