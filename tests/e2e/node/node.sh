#!/usr/bin/env bash
# A disposable Kubernetes of one node: real programs in namespaces and cgroups of its own, without any registry. Root only.
#
#   node.sh up DIR               starts it; all that it writes is in DIR, its kubeconfig is DIR/pki/admin.kubeconfig, for use by:
#   node.sh run DIR COMMAND…     runs a command in the node's namespaces, with kubectl and the rest on its PATH and KUBECONFIG set
#   node.sh load DIR ARCHIVE…    gives the node images, from OCI archives that name them (`ctr images import` reads them)
#   node.sh down DIR             ends it and removes DIR: also after an `up` that failed or was interrupted, and when there is none
#
# Who calls `up` sets a trap on EXIT that calls `down`. README.md tells what such a node doesn't show.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$here/../../../tools
say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

[ $# -ge 2 ] || die 'usage: node.sh up DIR | run DIR COMMAND… | load DIR ARCHIVE… | down DIR'
command=$1
dir=$(realpath -m -- "$2")
shift 2
case $dir in *[!A-Za-z0-9._/+-]*) die "DIR's path may hold letters, digits and ._/+- alone: $dir" ;; esac
[ "$(id -u)" = 0 ] || die 'no node can run here: it takes root'

enter_cgroups() { # what this process starts from here on is the node's
  while read -r _ folder; do echo "$BASHPID" >"$folder/cgroup.procs"; done <"$dir/node.cgroups"
}

make_cgroups() {
  local name controllers parent folder file
  name=playback-grant-node-$(printf %s "$dir" | sha256sum | cut -c 1-16)
  "$here/cgroups.sh" | while read -r controllers parent; do
    folder=$parent/$name
    # Noted before it is made: `down` finds it, whenever this is interrupted.
    printf '%s %s\n' "$controllers" "$folder" >>"$dir/node.cgroups"
    mkdir "$folder" || die "something is left of an earlier node in $dir: node.sh down $dir"
    for file in cpuset.cpus cpuset.mems; do # empty in a new cgroup, which then takes no process
      if [ -e "$folder/$file" ]; then cat "$parent/$file" >"$folder/$file"; fi
    done
  done
}

processes() { # all that are the node's, of this machine's numbers
  cut -d ' ' -f 2 "$dir/node.cgroups" | while read -r folder; do
    find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null || :
  done | sort -nu
}

process_1() { # the node's, which is the process that the namespaces hang on
  local pid
  pid=$(cat "$dir/process-1" 2>/dev/null) || die "no node runs in $dir: node.sh up $dir"
  # A number may have been given to another process since.
  processes | grep -x "$pid" >/dev/null || die "the node in $dir has ended: see $dir/log, then node.sh down $dir"
  echo "$pid"
}

up() {
  [ ! -e "$dir/node.cgroups" ] || die "there is a node in $dir already: node.sh down $dir"
  if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ]; then die "$dir isn't empty: a node takes a folder of its own"; fi
  local nft programs program name outer pid
  mkdir -p "$dir"
  : >"$dir/node.cgroups" # marks the folder as a node's, which `down` may remove
  # Held by all that prepares the node, until what it starts is in its cgroups: `down` finds nothing half made.
  exec 8>"$dir/lock"
  flock 8
  "$here/check.sh" "$dir"
  nft=$("$tools/debian.sh" nft)
  programs=$(exec 8>&- && env -u K8S "$tools/build.sh" etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl coredns \
    containerd containerd-shim-runc-v2 ctr runc bridge host-local loopback portmap)
  mkdir -p "$dir"/{conf/cni,images,log,pki,state,tmp}
  ln -s "$programs" "$dir/programs"
  ln -s "$nft" "$dir/nft"
  "${CC:-cc}" -O2 -static -s -o "$dir/pause" "$here/pause.c"
  for name in pause coredns kubectl; do
    program=$dir/pause
    [ $name = pause ] || program=$programs/$name
    python3 "$here/pack.py" "$dir/images/$name.tar" "node.test/$name:e2e" "$program" 65532
  done
  make_cgroups
  (
    enter_cgroups
    exec 8>&-
    # A session of its own: who interrupts `up` at a terminal leaves it to `down` to end the node.
    exec setsid unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child=KILL --propagation private --mount-proc \
      "$here/inside.sh" "$dir"
  ) >"$dir/log/node.log" 2>&1 </dev/null &
  outer=$!
  exec 8>&-
  for _ in $(seq 3000); do
    if [ ! -e "$dir/process-1" ] && pid=$(pgrep -P "$outer"); then echo "$pid" >"$dir/process-1"; fi
    if [ -e "$dir/ready" ] && [ -e "$dir/process-1" ]; then
      cat "$dir/log/node.log"
      return 0
    fi
    kill -0 "$outer" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$dir/log/node.log" >&2
  die "the node didn't become ready; its programs' logs are in $dir/log, until node.sh down $dir"
}

run() {
  local pid
  pid=$(process_1)
  enter_cgroups
  # kubectl keeps what it learns of a server by the server's address, which is that of every node.
  exec nsenter --target "$pid" --mount --net --pid --uts --ipc --cgroup --wd="$PWD" env KUBECONFIG="$dir/pki/admin.kubeconfig" \
    KUBECACHEDIR="$dir/kubectl-cache" PATH="$(readlink "$dir/programs"):$PATH" "$@"
}

load() {
  local archive said
  for archive in "$@"; do
    # Told is what it says only if it fails: it also warns, each time, that cgroup v1 has had its day.
    said=$(run ctr --namespace k8s.io images import "$(realpath -- "$archive")" 2>&1) || die "$archive can't be loaded: $said"
  done
}

down() {
  [ -e "$dir" ] || return 0
  if [ ! -e "$dir/node.cgroups" ]; then
    rmdir "$dir" 2>/dev/null || die "$dir holds no node: nothing was done"
    return 0
  fi
  local pids folder
  exec 8>>"$dir/lock"
  flock --wait 30 8 || die "a node is being prepared in $dir: node.sh up is still under way"
  # With its process 1 the kernel ends all the others, and with the last of them the namespaces: their mounts and links.
  for _ in $(seq 100); do
    pids=$(processes)
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086 # one word each
    kill -KILL $pids 2>/dev/null || :
    sleep 0.1
  done
  [ -z "$pids" ] || die "processes of the node in $dir don't end: $(tr '\n' ' ' <<<"$pids")"
  while read -r _ folder; do
    for _ in $(seq 50); do
      [ -d "$folder" ] || break
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    [ ! -d "$folder" ] || die "the cgroup $folder can't be removed"
  done <"$dir/node.cgroups"
  rm -rf --one-file-system "$dir" || die "$dir can't be removed whole"
}

case $command in
  up | run | load | down) "$command" "$@" ;;
  *) die "node.sh knows no '$command'" ;;
esac
