#!/usr/bin/env bash
# Finds what is no Go module: on this machine, or else in Debian's packages, unpacked into the cache folder, once; nothing is installed.
#
#   tools/debian.sh nft           prints the path of the command nft (kube-proxy runs it)
#   tools/debian.sh libseccomp    prints a folder for PKG_CONFIG_PATH with libseccomp's headers and static library (runc is built with it)
#
# These are the machine's, or the distribution's of the day: they aren't pinned.
set -euo pipefail

cache=${PLAYBACK_GRANT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/playback-grant-operator}
say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
part= # where something is being unpacked
trap 'rm -rf "$part"' EXIT

unpack() { # NAME REMEDY PACKAGE…: sets root, the folder that holds them
  local name=$1 remedy=$2 deb
  shift 2
  root=$cache/tools/debian-$name
  [ ! -d "$root" ] || return 0
  command -v apt-get >/dev/null || die "$name is missing: $remedy"
  say "unpacking $* into $root, once"
  part=$root.$$
  mkdir -p "$part/packages" "$part/root"
  (cd "$part/packages" && { apt-get download -qq "$@" || { apt-get update -qq && apt-get download -qq "$@"; }; }) >"$part/log" 2>&1 \
    || { tail -n 5 "$part/log" >&2; die "$name is missing, and its packages can't be fetched: $remedy"; }
  for deb in "$part"/packages/*.deb; do dpkg-deb --extract "$deb" "$part/root"; done
  mv --no-target-directory "$part/root" "$root" 2>/dev/null || [ -d "$root" ] # of two at once the first is kept
}

libraries() { (cd "$root/usr/lib" && ls -d "$PWD"/*-linux-gnu*); }

case ${1:-} in
  nft)
    if command -v nft; then exit 0; fi
    unpack nft 'install nftables' nftables libnftables1 libnftnl11 libmnl0 libjansson4 libxtables12 libedit2 libbsd0 libmd0 libgmp10
    wrapper=$root/nft
    if [ ! -e "$wrapper" ]; then
      printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s/usr/sbin/nft "$@"\n' "$(libraries)" "$root" >"$wrapper.$$"
      chmod +x "$wrapper.$$"
      mv "$wrapper.$$" "$wrapper"
    fi
    printf '%s\n' "$wrapper"
    ;;
  libseccomp)
    if pkg-config --exists libseccomp 2>/dev/null && [ -e "$(pkg-config --variable=libdir libseccomp)/libseccomp.a" ]; then
      pkg-config --variable=pcfiledir libseccomp
      exit 0
    fi
    command -v pkg-config >/dev/null || die 'pkg-config is missing: install it'
    unpack libseccomp 'install libseccomp-dev' libseccomp-dev
    folder=$(libraries)/pkgconfig
    sed -i "s|^prefix=.*|prefix=$root/usr|" "$folder/libseccomp.pc"
    printf '%s\n' "$folder"
    ;;
  *) die 'usage: tools/debian.sh nft | libseccomp' ;;
esac
