#!/usr/bin/env bash
# Builds the pinned programs of tools/go.mod (a real etcd and Kubernetes) into the cache folder, once.
#
#   tools/build.sh NAME…     builds what is missing, then prints the folder that holds them all (and nothing else) on stdout
#   tools/build.sh --clean   removes the cache folder's tools
#
# The cache folder is $PLAYBACK_GRANT_CACHE, by default playback-grant-operator under the user's cache folder. Programs found in
# $KUBEBUILDER_ASSETS are used in place of building them. An interrupted build resumes where Go's own build cache left off, and of
# two builds at once the second waits for the first.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PLAYBACK_GRANT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/playback-grant-operator}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

if [ "${1:-}" = --clean ]; then
  rm -rf "$cache/tools"
  say "removed $cache/tools (Go's own caches stay: go clean -cache -modcache)"
  exit 0
fi
[ $# -gt 0 ] || die "usage: tools/build.sh NAME… | --clean"

package_of() {
  case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    kube-apiserver | kube-controller-manager | kubectl) echo "k8s.io/kubernetes/cmd/$1" ;;
    *) die "tools/build.sh knows no program '$1'" ;;
  esac
}

minutes_of() { # on two cores, with Go's build cache empty
  case $1 in etcd) echo 1 ;; kube-apiserver) echo 6 ;; kube-controller-manager) echo 2 ;; *) echo 1 ;; esac
}

for name in "$@"; do package_of "$name" >/dev/null; done

# Every set of pins has a folder of its own, so that a change of version never meets an old program.
pins=$(cat "$here/go.mod" "$here/go.sum" | cksum | tr ' ' -)
bin=$cache/tools/$pins
mkdir -p "$bin"

supplied() { [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]; }

find_missing() { # of the names given, those that are neither supplied nor built
  missing=()
  for name in "$@"; do
    supplied "$name" || [ -x "$bin/$name" ] || missing+=("$name")
  done
}

build() { # NAME STAMP PLACE: builds one program, with its place in the row for the progress
  local name=$1 stamp=$2 place=$3 package start part log pid code
  package=$(package_of "$name")
  start=$SECONDS
  part=$bin/.$name.$$
  log=$bin/$name.log
  # Job control gives Go a process group of its own, in which SIGINT isn't ignored and reaches the compilers too.
  set -m
  (cd "$here" && exec env CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -ldflags "$stamp" -o "$part" "$package") \
    >"$log" 2>&1 9>&- &
  pid=$!
  set +m
  trap 'stop_build "$pid"; rm -f "$part"; say "interrupted: the next run goes on from here"; exit 130' INT TERM HUP
  while kill -0 "$pid" 2>/dev/null; do
    for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 1; kill -0 "$pid" 2>/dev/null || break; done
    say "  ($place) $name: $((SECONDS - start)) s"
  done
  code=0
  wait "$pid" || code=$?
  trap - INT TERM HUP
  if [ "$code" -ne 0 ]; then
    rm -f "$part"
    say "$(tail -n 20 "$log")"
    die "go could not build $name: the whole output is in $log"
  fi
  # Moved into place whole: an interrupted build never leaves half a program under its name.
  mv "$part" "$bin/$name"
  rm -f "$log"
  say "  ($place) $name: built in $((SECONDS - start)) s"
}

stop_build() { # Go tidies up on SIGINT; what hasn't gone after 5 s is killed
  kill -INT -- "-$1" 2>/dev/null || :
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    kill -0 -- "-$1" 2>/dev/null || return 0
    sleep 0.5
  done
  kill -KILL -- "-$1" 2>/dev/null || :
}

build_missing() {
  command -v go >/dev/null || die "Go is needed once, to build ${missing[*]}: install Go 1.26 or later (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder that holds them"
  local total=0 kube minor stamp at n=0
  for name in "${missing[@]}"; do total=$((total + $(minutes_of "$name"))); done
  say "building ${missing[*]} from the pinned modules, once: about $total minutes on two cores, into $bin"
  rm -f "$bin"/.[a-z]*.[0-9]* # what a killed build left; the lock is held, so nobody is writing there
  kube=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$here/go.mod")
  [ -n "$kube" ] || die "tools/go.mod requires no k8s.io/kubernetes"
  minor=${kube#v1.} minor=${minor%%.*}
  stamp="-s -w"
  for at in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamp="$stamp -X $at.gitVersion=$kube -X $at.gitMajor=1 -X $at.gitMinor=$minor -X $at.gitTreeState=clean"
  done
  for name in "${missing[@]}"; do
    n=$((n + 1))
    build "$name" "$stamp" "$n of ${#missing[@]}"
  done
}

find_missing "$@"
if [ ${#missing[@]} -gt 0 ]; then
  exec 9>"$bin/.lock"
  if command -v flock >/dev/null && ! flock --nonblock 9; then
    say "another build of these tools is under way: waiting for it"
    flock 9
  fi
  find_missing "$@" # the other build may have made them
  [ ${#missing[@]} -eq 0 ] || build_missing
fi

if [ -z "${KUBEBUILDER_ASSETS:-}" ]; then
  printf '%s\n' "$bin"
  exit 0
fi
# One folder that holds both what is supplied and what is built, apart from the built ones: those stay when the variable goes.
assets=$(cd "$KUBEBUILDER_ASSETS" && pwd)
both=$cache/tools/with-$(printf '%s' "$assets $pins" | cksum | tr ' ' -)
mkdir -p "$both"
for name in "$@"; do
  target=$bin/$name
  if supplied "$name"; then target=$assets/$name; fi
  [ "$(readlink "$both/$name" || :)" = "$target" ] || ln -sf "$target" "$both/$name"
done
printf '%s\n' "$both"
