#!/usr/bin/env bash
# Shows that the node is one: pods under `restricted`, Services, names, logs, exec, restarts; and that nothing of it is left. Root only.
#
# A line is one thing seen. Exits 1 at the first that isn't so.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scratch=$(mktemp -d)
dir=$scratch/node other=$scratch/other
trap '"$here/node.sh" down "$other"; "$here/node.sh" down "$dir"; rm -rf "$scratch"' EXIT
node() { "$here/node.sh" "$@"; }
kubectl() { timeout 60 "$here/node.sh" run "$dir" kubectl "$@"; }
seen() { printf 'ok      %s\n' "$*"; }
fail() { printf 'FAILED  %s\n' "$*"; exit 1; }
expect() { # WHAT PATTERN COMMAND…: the command's output has the pattern
  local what=$1 pattern=$2 out
  shift 2
  out=$("$@" 2>&1) || :
  grep -qE -- "$pattern" <<<"$out" || fail "$what: $out"
  seen "$what"
}
within() { # SECONDS WHAT COMMAND…
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || fail "$what: not within the time"
    sleep 0.2
  done
  seen "$what"
}

places() { # of the machine, where Kubernetes and its programs have fixed ones
  ls -d /etc/{cni,kubernetes,containerd} /opt/{cni,containerd,nri} /usr/libexec/kubernetes /var/lib/{kubelet,containerd,cni,etcd} \
    /var/log/{pods,containers} /run/{containerd,netns,runc} 2>/dev/null || :
}
links() { ip -o link | cut -d : -f 2; }
settings() { # of the whole machine, which a kubelet or a kube-proxy would set
  grep -s . /proc/sys/vm/{overcommit_memory,panic_on_oom} /proc/sys/kernel/{panic,panic_on_oops,keys/root_maxkeys,keys/root_maxbytes} \
    /proc/sys/net/ipv4/ip_forward /proc/sys/net/netfilter/nf_conntrack_{max,tcp_timeout_established,tcp_timeout_close_wait} || :
}
places_before=$(places) links_before=$(links) settings_before=$(settings)

begin=$(date +%s%N)
node up "$dir"
seen "the node is up in $((($(date +%s%N) - begin) / 1000000)) ms"

# What belongs to it, to be looked for when it has gone.
namespaces=$(for kind in mnt net pid uts ipc cgroup; do readlink "/proc/$(cat "$dir/process-1")/ns/$kind"; done)
cgroups=$(cut -d ' ' -f 2 "$dir/node.cgroups")
left() { # processes in the node's namespaces
  local pid
  for pid in /proc/[0-9]*; do
    if readlink "$pid"/ns/{mnt,net,pid,uts,ipc,cgroup} 2>/dev/null | grep -qxF -- "$namespaces"; then echo "${pid#/proc/}"; fi
  done
}
[ "$(left | wc -l)" -ge 10 ] || fail 'the search for processes of the node finds fewer than there are'

python3 "$here/pack.py" "$scratch/image.tar" ghcr.io/playback-grant-operator/selftest:e2e "$dir/programs/kubectl" 65532
node load "$dir" "$scratch/image.tar"
kubectl apply --filename "$here/selftest.yaml" >/dev/null
within 60 'two pods are Ready, of an image given by load' kubectl --namespace selftest rollout status deployment/web --timeout=1s
expect 'a pod that is not restricted is refused' 'violates PodSecurity "restricted:latest"' \
  kubectl --namespace selftest run bad --image=node.test/kubectl:e2e

pod=$(kubectl --namespace selftest get pod --selector app=web --output 'jsonpath={.items[0].metadata.name}')
get_pod() { kubectl --namespace selftest get pod "$pod" --output "jsonpath=$1"; }
in_pod() { kubectl --namespace selftest exec "$pod" -- /kubectl "$@"; }
version='"gitVersion": "v1\.37'
expect 'a pod reaches the API server at 10.96.0.1' "$version" in_pod get --raw /version
# kube-proxy learns of the pods when all others do, and needs a moment more.
within 10 'a pod reaches a Service by its short name' in_pod --server http://web get --raw /version
expect 'and by its whole name' "$version" in_pod --server http://web.selftest.svc.cluster.local get --raw /version
eight_times() { for _ in 1 2 3 4 5 6 7 8; do in_pod --server http://web get --raw /version >/dev/null || return; done; echo all; }
expect 'eight times of eight, though the Service means itself too' '^all$' eight_times
token=$(kubectl --namespace selftest create token default)
expect 'a pod reaches kubernetes.default, by a certificate for that name' "$version" in_pod --server https://kubernetes.default \
  --certificate-authority /var/run/secrets/kubernetes.io/serviceaccount/ca.crt --token "$token" get --raw /version
expect 'a name outside of the cluster does not exist' 'no such host' in_pod --server http://playback.example.com get --raw /version
expect 'Services are nf_tables rules' 'chain service-.*selftest/web' node run "$dir" "$dir/nft" list ruleset
expect 'logs are read' 'Starting to serve' kubectl --namespace selftest logs "$pod"

container=$(get_pod '{.status.containerStatuses[0].containerID}')
container=${container#containerd://}
process=$(node run "$dir" ctr --namespace k8s.io tasks list 2>/dev/null | awk -v id="$container" '$1 == id {print $2}')
status() { node run "$dir" grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' "/proc/$process/status" | tr -s '\t\n' ' '; }
expect 'its process has user 65532, no capability, no new privileges, and a seccomp filter' \
  'Uid: 65532 .*CapEff: 0+ NoNewPrivs: 1 Seccomp: 2' status
node run "$dir" ctr --namespace k8s.io tasks kill --signal KILL "$container" >/dev/null 2>&1
restarted() { [ "$(get_pod '{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}')" = '1 true' ]; }
within 60 'a killed container is restarted, and Ready again' restarted
expect 'the audit log tells who asked for what' \
  '"verb":"get","user":\{"username":"system:serviceaccount:selftest:default".*"requestURI":"/version|"requestURI":"/version[^}]*"user":\{"username":"system:serviceaccount:selftest:default"' \
  grep -F system:serviceaccount:selftest:default "$dir/audit.log"

memory=$(grep '^memory ' "$dir/node.cgroups" | cut -d ' ' -f 2)
seen "its memory: $(awk '$1 == "total_rss" {print int($2 / 1048576)}' "$memory/memory.stat") MB, without the cache of files"

node up "$other" >"$scratch/other.log" 2>&1 &
starting=$!
sleep 4
[ -e "$other/node.cgroups" ] || fail "a second node doesn't start beside it: $(cat "$scratch/other.log")"
kill -TERM $starting
wait $starting 2>/dev/null || :
others=$(cut -d ' ' -f 2 "$other/node.cgroups")
node down "$other"
for folder in $others; do [ ! -e "$folder" ] || fail "$folder is left of the second node"; done
seen 'a second node beside it, interrupted while it starts, leaves nothing'
expect 'and the first stays Ready' True kubectl get node node1 --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'

kill -KILL "$(cat "$dir/process-1")"
expect 'a node whose process 1 has died says so' 'has ended|no such process' kubectl get nodes
begin=$(date +%s%N)
node down "$dir"
seen "down all the same, in $((($(date +%s%N) - begin) / 1000000)) ms"
[ -z "$(left)" ] || fail "processes are left: $(left)"
for folder in $cgroups; do [ ! -e "$folder" ] || fail "the cgroup $folder is left"; done
! grep -F "$scratch" /proc/self/mountinfo || fail 'mounts are left'
[ "$(links)" = "$links_before" ] || fail "links are left: $(links)"
[ "$(places)" = "$places_before" ] || fail "something is left of: $(places)"
[ "$(settings)" = "$settings_before" ] || fail "settings of the machine have changed: $(diff <(echo "$settings_before") <(settings))"
[ ! -e "$dir" ] || fail "$dir is left"
seen 'no process, cgroup, mount, link, folder or setting of it is left'
