#!/usr/bin/env bash
# Becomes the node: process 1 of the namespaces that node.sh made. Sets up mounts and links, starts the programs, and stays as pause.
#
#   inside.sh DIR
#
# If a step fails it ends, and with it all that it started.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=$1
programs=$(readlink "$dir/programs")
mkdir "$dir/bin"
ln -s "$(readlink "$dir/nft")" "$dir/bin/nft"
export PATH=$programs:$dir/bin:/usr/sbin:/sbin:$PATH HOME=$dir/tmp TMPDIR=$dir/tmp KUBECACHEDIR=$dir/kubectl-cache
started=$(date +%s%N)

done_with() { printf '%6d ms  %s\n' $((($(date +%s%N) - started) / 1000000)) "$*"; }

within() { # SECONDS WHAT COMMAND…: until the command succeeds
  local tenths=$(($1 * 10)) what=$2
  shift 2
  for _ in $(seq $tenths); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "error: after $((tenths / 10)) s still waiting: $what"
  return 1
}

start() { # NAME COMMAND…
  local name=$1
  shift
  "$@" >"$dir/log/$name.log" 2>&1 </dev/null &
}

mounts() {
  local folder controllers cgroup
  # What the node writes where Kubernetes has fixed places for it, it writes in DIR.
  for folder in /var/lib /var/log; do
    mkdir -p "$dir/state$folder"
    mount --bind "$dir/state$folder" $folder
  done
  mkdir -p /var/lib/kubelet /var/lib/containerd /var/log/containers /var/log/pods
  mount -t tmpfs tmpfs /run
  # The machine's cgroups give way to the node's own: in its cgroup namespace these are the roots.
  umount --recursive --lazy /sys
  mount -t sysfs sysfs /sys
  mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
  while read -r controllers _; do
    cgroup=/sys/fs/cgroup/${controllers#name=}
    mkdir "$cgroup"
    case $controllers in
      name=*) mount -t cgroup -o "none,$controllers" cgroup "$cgroup" ;;
      *) mount -t cgroup -o "$controllers" cgroup "$cgroup" ;;
    esac
  done <"$dir/node.cgroups"
  # The kubelet wants these settings, which are the whole machine's. It finds its values in files that lie over them, and writes nothing.
  keep vm/overcommit_memory 1
  keep vm/panic_on_oom 0
  keep kernel/panic 10
  keep kernel/panic_on_oops 1
  keep kernel/keys/root_maxkeys 1000000
  keep kernel/keys/root_maxbytes 25000000
  # The kubelet hands mounts on into containers.
  mount --make-rshared /
}

keep() { # SETTING VALUE
  local file=$dir/state/${1//\//.}
  echo "$2" >"$file"
  mount --bind "$file" "/proc/sys/$1"
}

links() {
  hostname node1
  ip link set lo up
  ip link add cni0 type bridge
  ip address add 10.244.0.1/24 dev cni0
  ip link set cni0 up
  echo 1 >/proc/sys/net/ipv4/ip_forward
  # Pods on the one bridge reach each other through a Service too: its answers must come back through the kernel's NAT.
  echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
}

configuration() {
  local name
  "$here/certificates.sh" "$dir/pki"
  for name in containerd.toml kubelet.yaml kube-proxy.yaml; do
    sed "s|@DIR@|$dir|g; s|@TOOLS@|$programs|g" "$here/conf/$name" >"$dir/conf/$name"
  done
  cp "$here/conf/network.conflist" "$dir/conf/cni/"
  # For pods that ask for the node's own names: there are none.
  echo 'nameserver 127.0.0.1' >"$dir/conf/resolv.conf"
}

start_etcd() {
  start etcd etcd --data-dir "$dir/state/etcd" --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --unsafe-no-fsync --log-level warn
}

start_apiserver() {
  local pki=$dir/pki
  start kube-apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 \
    --secure-port 6443 --advertise-address 10.244.0.1 --service-cluster-ip-range 10.96.0.0/16 \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" --client-ca-file "$pki/ca.crt" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$pki/tokens.pub" --service-account-signing-key-file "$pki/tokens.key" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --kubelet-certificate-authority "$pki/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$pki/to-kubelet.crt" --kubelet-client-key "$pki/to-kubelet.key" \
    --audit-policy-file "$here/conf/audit.yaml" --audit-log-path "$dir/audit.log" --audit-log-maxsize 0
}

start_control() {
  local config=$dir/pki/controller-manager.kubeconfig
  start kube-controller-manager kube-controller-manager --kubeconfig "$config" --authentication-kubeconfig "$config" \
    --authorization-kubeconfig "$config" --bind-address 127.0.0.1 --leader-elect=false --use-service-account-credentials \
    --flex-volume-plugin-dir /var/lib/kubelet/volume-plugins \
    --root-ca-file "$dir/pki/ca.crt" --service-account-private-key-file "$dir/pki/tokens.key"
  config=$dir/pki/scheduler.kubeconfig
  start kube-scheduler kube-scheduler --kubeconfig "$config" --authentication-kubeconfig "$config" \
    --authorization-kubeconfig "$config" --bind-address 127.0.0.1 --leader-elect=false
}

start_node() {
  start kubelet kubelet --config "$dir/conf/kubelet.yaml" --kubeconfig "$dir/pki/node.kubeconfig" --hostname-override node1 --node-ip 10.244.0.1
  start kube-proxy kube-proxy --config "$dir/conf/kube-proxy.yaml"
}

node_ready() {
  kubectl wait --for=condition=Ready node/node1 --timeout=1s && [ -z "$(kubectl get node node1 --output 'jsonpath={.spec.taints}')" ]
}

mounts
links
configuration
done_with 'mounts, links, certificates'
start containerd containerd --config "$dir/conf/containerd.toml"
start_etcd
start_apiserver
within 30 'containerd answers' ctr version
for archive in "$dir"/images/*.tar; do ctr --namespace k8s.io images import "$archive" >>"$dir/log/images.log" 2>&1; done
done_with 'containerd, with the images of the node itself'
export KUBECONFIG=$dir/pki/admin.kubeconfig
within 60 'kube-apiserver is ready' kubectl get --raw /readyz
done_with 'kube-apiserver is ready'
start_control
start_node
kubectl create clusterrolebinding apiserver-to-kubelet --clusterrole=system:kubelet-api-admin --user=apiserver-to-kubelet >/dev/null
kubectl apply --filename "$here/conf/coredns.yaml" >/dev/null
within 60 'the default ServiceAccount and the ConfigMap of the CA' eval 'kubectl get serviceaccount default && kubectl get configmap kube-root-ca.crt'
within 60 'the node is Ready, without taints' node_ready
done_with 'the node is Ready'
within 60 'CoreDNS is available' kubectl wait --for=condition=Available --namespace kube-system deployment/coredns --timeout=1s
done_with 'CoreDNS answers'
touch "$dir/ready"
exec "$dir/pause"
