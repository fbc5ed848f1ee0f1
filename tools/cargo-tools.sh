#!/usr/bin/env bash
# Installs pinned cargo tools into the cache folder, once.
#
#   tools/cargo-tools.sh NAME…     installs what is missing, then prints the folder that holds them (and nothing else) on stdout
#   tools/cargo-tools.sh --clean   removes them
#
# Each version has a folder of its own name, so that a change of version never meets an old program. An interrupted run leaves nothing half
# done and resumes where cargo's own build left off; of two at once the second waits for the first.
set -euo pipefail

cache=${PLAYBACK_GRANT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/playback-grant-operator}
tools=$cache/cargo-tools
cargo=${CARGO:-cargo}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

if [ "${1:-}" = --clean ]; then
  rm -rf "$tools"
  say "removed $tools"
  exit 0
fi
[ $# -gt 0 ] || die 'usage: tools/cargo-tools.sh NAME… | --clean'

version_of() {
  case $1 in
    cargo-deny) echo 0.20.2 ;;
    cargo-auditable) echo 0.7.7 ;;
    auditable2cdx) echo 0.1.0 ;;
    cargo-mutants) echo 27.1.0 ;;
    *) die "tools/cargo-tools.sh knows no tool '$1'" ;;
  esac
}

minutes_of() { # on two cores
  case $1 in cargo-deny) echo 4 ;; cargo-mutants) echo 3 ;; *) echo 1 ;; esac
}

bin=$tools/bin
is_there() { [ -x "$bin/$1" ] && [ "$(readlink "$bin/$1")" = "../$1-$2/bin/$1" ]; }

missing=()
for name in "$@"; do
  version=$(version_of "$name")
  is_there "$name" "$version" || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ]; then
  mkdir -p "$bin"
  exec 9>"$tools/.lock"
  flock 9
  for name in "${missing[@]}"; do
    version=$(version_of "$name")
    is_there "$name" "$version" && continue # another run has made it
    root=$tools/$name-$version
    if [ ! -x "$root/bin/$name" ]; then
      say "building $name $version, once: about $(minutes_of "$name") minutes on two cores, into $root"
      # A target folder of its own, kept until it is done: an interrupted build goes on from there. No flags of this project's builds.
      env -u RUSTFLAGS -u CFLAGS -u CARGO_BUILD_TARGET CARGO_TARGET_DIR="$tools/build" "$cargo" install --quiet --locked --version "=$version" \
        --root "$root" "$name" >&2 9>&- || die "$name $version could not be built"
    fi
    ln -sfn "../$name-$version/bin/$name" "$bin/$name"
  done
  rm -rf "$tools/build"
fi
printf '%s\n' "$bin"
