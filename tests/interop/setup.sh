#!/usr/bin/env bash
# Installs the pinned packages that Access Tokens are held against, once, into environments of their own in the cache folder.
#
#   tests/interop/setup.sh           then prints the folder that holds them (and nothing else) on stdout: python/ and node/
#   tests/interop/setup.sh --clean   removes them
#
# The cache folder is $PLAYBACK_GRANT_CACHE, by default playback-grant-operator under the user's cache folder. Where packages come from is
# what pip and npm are configured to use; that they are the right ones is held by their hashes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PLAYBACK_GRANT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/playback-grant-operator}
needs='Node 20 or later, npm 10 or later, and Python 3.11 or later as python3, with venv'

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

if [ "${1:-}" = --clean ]; then
  rm -rf "$cache/interop"
  say "removed $cache/interop"
  exit 0
fi
[ $# -eq 0 ] || die 'usage: tests/interop/setup.sh | --clean'

at_least() { # NAME VERSION WANTED: compares major and minor
  local name=$1 major minor wanted_major=${3%%.*} wanted_minor=${3#*.}
  IFS=. read -r major minor _ <<<"$2"
  if ! [[ $major =~ ^[0-9]+$ && ${minor:=0} =~ ^[0-9]+$ ]]; then die "$name doesn't tell its version; needed: $needs"; fi
  [ $((major * 1000 + minor)) -ge $((wanted_major * 1000 + wanted_minor)) ] || die "$name $2 is too old; needed: $needs"
}

for name in node npm python3; do command -v "$name" >/dev/null || die "$name is missing; needed: $needs"; done
node=$(node --version 2>/dev/null) || node=
at_least node "${node#v}" 20.0
npm=$(npm --version 2>/dev/null) || npm=
at_least npm "$npm" 10.0
python=$(python3 -c 'import sys; print(".".join(map(str, sys.version_info[:3])), sys.base_prefix)' 2>/dev/null) || python=
at_least python3 "${python%% *}" 3.11

# Every set of pins has a folder of its own, and so has every Python: an environment belongs to the one that made it.
pins=$({ cat "$here/python/requirements.txt" "$here/node/package.json" "$here/node/package-lock.json"; printf '%s\n' "$python"; } \
  | cksum | tr ' ' -)
folder=$cache/interop/$pins

quietly() { # WHAT COMMAND…: its output is shown only when it fails
  local what=$1
  shift
  "$@" >"$folder/log" 2>&1 9>&- || { tail -n 20 "$folder/log" >&2; die "$what; the whole output is in $folder/log"; }
}

if [ ! -e "$folder/complete" ]; then
  mkdir -p "$folder"
  exec 9>"$folder/lock"
  if command -v flock >/dev/null; then flock 9; fi
  if [ ! -e "$folder/complete" ]; then # another run may have made it
    say "installing the pinned packages, once, into $folder"
    rm -rf "$folder/python" "$folder/node"
    quietly 'python3 could not make an environment (its venv is a package of its own on some systems)' python3 -m venv "$folder/python"
    quietly 'pip could not install the packages of tests/interop/python' "$folder/python/bin/python" -m pip install \
      --disable-pip-version-check --no-input --no-deps --only-binary :all: --require-hashes --requirement "$here/python/requirements.txt"
    mkdir "$folder/node"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$here/node/.npmrc" "$folder/node/"
    quietly 'npm could not install the packages of tests/interop/node' npm ci --prefix "$folder/node" --ignore-scripts --no-audit --no-fund
    rm -f "$folder/log"
    touch "$folder/complete"
  fi
fi
printf '%s\n' "$folder"
