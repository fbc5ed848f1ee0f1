#!/usr/bin/env bash
# Builds the pinned programs of tools/go.mod (a real etcd and Kubernetes) into the cache folder, once.
#
#   tools/build.sh NAME…     builds what is missing, then prints the folder that holds them all (and nothing else) on stdout
#   tools/build.sh --clean   removes the cache folder's tools
#
# The cache folder is $PLAYBACK_GRANT_CACHE, by default playback-grant-operator under the user's cache folder. Programs found in
# $KUBEBUILDER_ASSETS are used in place of building them. An interrupted build resumes where Go's own build cache left off.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PLAYBACK_GRANT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/playback-grant-operator}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

if [ "${1:-}" = --clean ]; then
  rm -rf "$cache/tools"
  say "removed $cache/tools"
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

# Every set of pins has a folder of its own, so that a change of version never meets an old program.
pins=$(cat "$here/go.mod" "$here/go.sum" | cksum | tr ' ' -)
bin=$cache/tools/$pins
mkdir -p "$bin"

missing=()
for name in "$@"; do
  if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$name" ]; then
    ln -sf "$(cd "$KUBEBUILDER_ASSETS" && pwd)/$name" "$bin/$name"
  elif [ -L "$bin/$name" ]; then # supplied by an earlier KUBEBUILDER_ASSETS that is no longer set
    rm -f "$bin/$name"
    missing+=("$name")
  elif [ ! -x "$bin/$name" ]; then
    missing+=("$name")
  fi
done

if [ ${#missing[@]} -gt 0 ]; then
  command -v go >/dev/null || die "Go is needed once, to build ${missing[*]}: install Go 1.26 or later (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder that holds them"
  total=0
  for name in "${missing[@]}"; do total=$((total + $(minutes_of "$name"))); done
  say "building ${missing[*]} from the pinned modules, once: about $total minutes on two cores, into $bin"
  kube=$(sed -n 's|^[[:space:]]*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' "$here/go.mod")
  [ -n "$kube" ] || die "tools/go.mod requires no k8s.io/kubernetes"
  minor=${kube#v1.} minor=${minor%%.*}
  stamp="-s -w"
  for at in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    stamp="$stamp -X $at.gitVersion=$kube -X $at.gitMajor=1 -X $at.gitMinor=$minor -X $at.gitTreeState=clean"
  done
  n=0
  for name in "${missing[@]}"; do
    n=$((n + 1))
    package=$(package_of "$name")
    start=$SECONDS
    part=$bin/.$name.$$
    log=$bin/$name.log
    (cd "$here" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -ldflags "$stamp" -o "$part" "$package") >"$log" 2>&1 &
    pid=$!
    trap 'kill "$pid" 2>/dev/null || :; rm -f "$part"; say "interrupted: the next run goes on from here"; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
      for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 1; kill -0 "$pid" 2>/dev/null || break; done
      say "  ($n of ${#missing[@]}) $name: $((SECONDS - start)) s"
    done
    if ! wait "$pid"; then
      rm -f "$part"
      say "$(tail -n 20 "$log")"
      die "go could not build $name: the whole output is in $log"
    fi
    trap - INT TERM
    # Moved into place whole: an interrupted build never leaves half a program under its name.
    mv "$part" "$bin/$name"
    rm -f "$log"
    say "  ($n of ${#missing[@]}) $name: built in $((SECONDS - start)) s"
  done
fi
printf '%s\n' "$bin"
