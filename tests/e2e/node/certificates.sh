#!/usr/bin/env bash
# Makes the node's keys, certificates and kubeconfigs, all of this run alone: keys on the curve P-256 take milliseconds.
#
#   certificates.sh FOLDER
set -euo pipefail
cd "$1"
openssl() { command openssl "$@" 2>>openssl.log || { tail -n 5 openssl.log >&2; return 1; }; }
new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }

new_key ca
openssl req -x509 -new -key ca.key -subj /CN=node-ca -days 2 -out ca.crt \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign

issue() { # NAME SUBJECT USAGE [ALTERNATIVE NAMES]
  new_key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature "extendedKeyUsage=$3" "${4:+subjectAltName=$4}" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.crt"
}

kubeconfig() { # NAME: for the one whose certificate has this name
  cat >"$1.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters: [{name: node, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $PWD/ca.crt}}]
users: [{name: $1, user: {client-certificate: $PWD/$1.crt, client-key: $PWD/$1.key}}]
contexts: [{name: node, context: {cluster: node, user: $1}}]
current-context: node
EOF
}

api=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost
issue apiserver /CN=kube-apiserver serverAuth "$api,IP:127.0.0.1,IP:10.96.0.1,IP:10.244.0.1"
issue kubelet /CN=node1 serverAuth DNS:node1,IP:10.244.0.1
issue to-kubelet /CN=apiserver-to-kubelet clientAuth
issue admin /O=system:masters/CN=admin clientAuth
issue controller-manager /CN=system:kube-controller-manager clientAuth
issue scheduler /CN=system:kube-scheduler clientAuth
issue node /O=system:nodes/CN=system:node:node1 clientAuth
issue proxy /CN=system:kube-proxy clientAuth
for name in admin controller-manager scheduler node proxy; do kubeconfig $name; done

# Service accounts' tokens are signed by a key of their own.
new_key tokens
openssl pkey -in tokens.key -pubout -out tokens.pub
