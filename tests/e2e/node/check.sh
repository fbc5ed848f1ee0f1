#!/usr/bin/env bash
# Says in one line what this machine lacks for a node in DIR, and exits 1; says nothing when it lacks nothing.
#
#   check.sh DIR
#
# What the kernel must do is tried in namespaces that end with the trial.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$(realpath -m -- "$1")
refuse() { echo "error: no node can run here: $1" >&2; exit 1; }

[ "$(id -u)" = 0 ] || refuse 'it takes root'

for name in unshare nsenter setsid mount ip flock openssl python3 pgrep "${CC:-cc}"; do
  command -v "$name" >/dev/null || refuse "the command $name is missing"
done
# In the node these three are its own: what lies in the machine's can't be seen there.
for folder in "$dir" "$here" "${PLAYBACK_GRANT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}}" "${KUBEBUILDER_ASSETS:-/}"; do
  case $(realpath -m -- "$folder")/ in /run/* | /var/lib/* | /var/log/*)
    refuse "the node has a /run, a /var/lib and a /var/log of its own, and $folder is in the machine's" ;;
  esac
done
[ -r /dev/kmsg ] || refuse '/dev/kmsg is missing, which the kubelet reads'

have=",$("$here/cgroups.sh" | cut -d ' ' -f 1 | paste -sd ,),"
for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
  case $have in *,$controller,*) ;; *)
    refuse "cgroup v1's controller $controller is missing (a node on cgroup v2 is not supported: that could not be tested)" ;;
  esac
done

try() { # WHAT COMMAND…
  local what=$1 told
  shift
  told=$("$@" 2>&1) || { echo "$what ($(tail -n 1 <<<"$told"))"; exit 1; }
}
trial() {
  # The mount comes first: it tells whether this root may do anything at all.
  try 'overlayfs does not mount over a folder there' mount -t overlay overlay -o "lowerdir=$1/a,upperdir=$1/b,workdir=$1/c" "$1/d"
  try 'no bridge can be made, which takes NET_ADMIN' ip link add bridge0 type bridge
  try 'no veth pair can be made' ip link add veth0 type veth peer name veth1
  try "the kernel's br_netfilter is missing" test -e /proc/sys/net/bridge/bridge-nf-call-iptables
  try 'nf_tables does not take a rule with NAT' "$2" -f - <<<'
    add table ip trial
    add chain ip trial nat { type nat hook postrouting priority 100 ; }
    add rule ip trial nat masquerade'
}
export -f try trial

nft=$("$here/../../../tools/debian.sh" nft) || exit 1
made=
[ -d "$dir" ] || made=$dir
scratch=$dir/trial
mkdir -p "$scratch"/{a,b,c,d} || refuse "$dir can't be made"
told=$(unshare --mount --net --pid --uts --ipc --cgroup --fork --propagation private --mount-proc bash -c 'trial "$@"' trial "$scratch" "$nft" 2>&1)
code=$?
rm -rf --one-file-system "$scratch"
[ -z "$made" ] || rmdir "$made"
case $told in unshare:*) told="its namespaces can't be made, which takes SYS_ADMIN ($told)" ;; esac
[ $code -eq 0 ] || refuse "${told:-the trial in its namespaces ended with exit code $code}"
