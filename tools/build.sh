#!/usr/bin/env bash
# Builds programs from the Go modules pinned in tools/*/go.mod (a real etcd and Kubernetes, a container runtime, checks) into the
# cache folder, once.
#
#   tools/build.sh NAME…     builds what is missing, then prints the folder that holds them all (and nothing else) on stdout
#   tools/build.sh --clean   removes the cache folder's tools
#
# K8S=1.33 takes kube-apiserver and kube-controller-manager of that version, the oldest supported, in place of the newest.
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

describe() { # NAME: sets module (the folder that pins it), package, and how long it takes on two cores with Go's build cache empty
  local kubernetes=kubernetes
  cgo=0 tags='' link='' minutes=1
  [ "${K8S:-}" = 1.33 ] && kubernetes=kubernetes-1.33
  case $1 in
    etcd) module=kubernetes package=go.etcd.io/etcd/server/v3 ;;
    kube-apiserver) module=$kubernetes package=k8s.io/kubernetes/cmd/$1 minutes=6 ;;
    kube-controller-manager) module=$kubernetes package=k8s.io/kubernetes/cmd/$1 minutes=2 ;;
    kube-scheduler | kubelet | kube-proxy | kubectl) module=kubernetes package=k8s.io/kubernetes/cmd/$1 ;;
    # In the folder as kubectl-oldest, beside the other.
    kubectl-oldest) module=kubernetes-1.33 package=k8s.io/kubernetes/cmd/kubectl ;;
    coredns) module=coredns package=github.com/coredns/coredns minutes=3 ;;
    containerd | containerd-shim-runc-v2 | ctr) module=containerd package=github.com/containerd/containerd/v2/cmd/$1 ;;
    # Its first steps in a new namespace are C. Without libseccomp it starts no container that has a seccomp profile.
    runc) module=containerd package=github.com/opencontainers/runc cgo=1 tags='seccomp netgo osusergo' link=' -linkmode external -extldflags -static' ;;
    bridge | loopback) module=containerd package=github.com/containernetworking/plugins/plugins/main/$1 ;;
    host-local) module=containerd package=github.com/containernetworking/plugins/plugins/ipam/$1 ;;
    portmap) module=containerd package=github.com/containernetworking/plugins/plugins/meta/$1 ;;
    helm) module=helm package=helm.sh/helm/v4/cmd/helm ;;
    helm3) module=helm3 package=helm.sh/helm/v3/cmd/helm ;;
    helm-unittest) module=helm-unittest package=github.com/helm-unittest/helm-unittest/cmd/helm-unittest ;;
    helm-docs) module=checks package=github.com/norwoodj/helm-docs/cmd/helm-docs ;;
    kubeconform) module=checks package=github.com/yannh/kubeconform/cmd/kubeconform ;;
    kube-score) module=checks package=github.com/zegl/kube-score/cmd/kube-score ;;
    actionlint) module=checks package=github.com/rhysd/actionlint/cmd/actionlint ;;
    glua) module=checks package=github.com/yuin/gopher-lua/cmd/glua ;;
    *) die "tools/build.sh knows no program '$1'" ;;
  esac
  # Every set of pins (and of tags) has a folder of its own, so that a change of version never meets an old program.
  bin=$cache/tools/$module-$(printf %s "$tags" | cat "$here/$module/go.mod" "$here/$module/go.sum" - | cksum | tr ' ' -)
}

case ${K8S:-} in '' | 1.37 | 1.33) ;; *) die "K8S=$K8S isn't pinned here: 1.37 (the default) and 1.33 are" ;; esac
for name in "$@"; do describe "$name"; done

supplied() { [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]; }

find_missing() { # of the names given, those that are neither supplied nor built
  missing=()
  for name in "$@"; do
    describe "$name"
    supplied "$name" || [ -x "$bin/$name" ] || missing+=("$name")
  done
}

build() { # NAME PLACE: builds one program, with its place in the row for the progress
  local name=$1 place=$2 start part log pid code packages=''
  describe "$name"
  # Go remembers a C library's place by CGO_LDFLAGS, and not by what pkg-config said when it was last asked.
  [ "$cgo" = 0 ] || packages=$("$here/debian.sh" libseccomp)
  mkdir -p "$bin"
  rm -f "$bin/.$name".[0-9]* # what a killed build left; the lock is held, so nobody is writing there
  start=$SECONDS
  part=$bin/.$name.$$
  log=$bin/$name.log
  # Job control gives Go a process group of its own, in which SIGINT isn't ignored and reaches the compilers too.
  set -m
  (cd "$here/$module" && exec env CGO_ENABLED=$cgo PKG_CONFIG_PATH="$packages" CGO_LDFLAGS="${packages:+-L${packages%/pkgconfig}}" GOFLAGS=-mod=readonly \
    go build -trimpath -buildvcs=false -tags "$tags" -ldflags "$(stamp "$module")$link" -o "$part" "$package") \
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

stamp() { # MODULE: the linker's flags. A Kubernetes that isn't told its version calls itself v0.0.0.
  local kube minor at flags='-s -w'
  kube=$(sed -n 's|^[[:space:]]*\(require \)\{0,1\}k8s.io/kubernetes \(v[0-9.]*\).*|\2|p' "$here/$1/go.mod")
  if [ -n "$kube" ]; then
    minor=${kube#v1.} minor=${minor%%.*}
    for at in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
      flags="$flags -X $at.gitVersion=$kube -X $at.gitMajor=1 -X $at.gitMinor=$minor -X $at.gitTreeState=clean"
    done
  fi
  printf '%s\n' "$flags"
}

build_missing() {
  command -v go >/dev/null || die "Go is needed once, to build ${missing[*]}: install Go 1.26 or later (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder that holds them"
  local total=0 n=0
  for name in "${missing[@]}"; do
    describe "$name"
    [ "$cgo" = 0 ] || command -v "${CC:-cc}" >/dev/null || die "a C compiler is needed to build $name: install gcc, or set CC"
    total=$((total + minutes))
  done
  say "building ${missing[*]} from the pinned modules, once: about $total minutes on two cores, into $cache/tools"
  for name in "${missing[@]}"; do
    n=$((n + 1))
    build "$name" "$n of ${#missing[@]}"
  done
}

mkdir -p "$cache/tools"
find_missing "$@"
if [ ${#missing[@]} -gt 0 ]; then
  exec 9>"$cache/tools/.lock"
  if command -v flock >/dev/null && ! flock --nonblock 9; then
    say "another build of these tools is under way: waiting for it"
    flock 9
  fi
  find_missing "$@" # the other build may have made them
  [ ${#missing[@]} -eq 0 ] || build_missing
fi

# One folder for each set of names, which links to where each of them is.
targets=()
for name in "$@"; do
  describe "$name"
  if supplied "$name"; then targets+=("$(cd "$KUBEBUILDER_ASSETS" && pwd)/$name"); else targets+=("$bin/$name"); fi
done
both=$cache/tools/with-$(printf '%s\n' "${targets[@]}" | cksum | tr ' ' -)
mkdir -p "$both"
for target in "${targets[@]}"; do
  link=$both/${target##*/}
  [ "$(readlink "$link" || :)" = "$target" ] || ln -sfn "$target" "$link"
done
printf '%s\n' "$both"
