# Sourced: starts etcd and kube-apiserver in a folder, with an administrator's kubeconfig, and stops them.
#
#   start_api_server TOOLS FOLDER   exports KUBECONFIG
#   stop_api_server                 to be called on exit

api_server_pids=()

free_port() { # nothing listens there yet; whoever takes it first makes the start fail, and start_api_server tries again
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 10000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
  echo 'error: no free port between 20000 and 30000' >&2
  return 1
}

start_api_server() {
  local tools=$1 folder=$2
  for _ in 1 2 3; do
    try_api_server "$tools" "$folder" && return
    stop_api_server
  done
  tail -n 5 "$folder/kube-apiserver.log" >&2
  echo 'error: kube-apiserver did not become ready' >&2
  return 1
}

try_api_server() {
  local tools=$1 folder=$2 client peer port pid
  local key=$folder/certificates/apiserver.key # kube-apiserver makes it for itself; nobody asks for a token here
  client=$(free_port) peer=$(free_port) port=$(free_port)
  rm -rf "$folder"
  mkdir -p "$folder"
  printf 'administrator,administrator,administrator,system:masters\n' >"$folder/tokens.csv"
  "$tools/etcd" --data-dir "$folder/etcd" --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
    --listen-peer-urls "http://127.0.0.1:$peer" --unsafe-no-fsync >"$folder/etcd.log" 2>&1 &
  api_server_pids+=($!)
  "$tools/kube-apiserver" --etcd-servers "http://127.0.0.1:$client" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$port" \
    --cert-dir "$folder/certificates" --token-auth-file "$folder/tokens.csv" --authorization-mode RBAC --endpoint-reconciler-type none \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$key" \
    --service-account-signing-key-file "$key" --service-cluster-ip-range 10.0.0.0/24 --profiling=false \
    >"$folder/kube-apiserver.log" 2>&1 &
  api_server_pids+=($!)
  export KUBECONFIG=$folder/kubeconfig
  cat >"$KUBECONFIG" <<END
apiVersion: v1
kind: Config
clusters: [{name: it, cluster: {server: "https://127.0.0.1:$port", certificate-authority: $folder/certificates/apiserver.crt}}]
users: [{name: it, user: {token: administrator}}]
contexts: [{name: it, context: {cluster: it, user: it}}]
current-context: it
END
  for _ in {1..240}; do
    for pid in "${api_server_pids[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done
    if "$tools/kubectl" get --raw /readyz >/dev/null 2>&1; then return; fi
    sleep 0.25
  done
  return 1
}

stop_api_server() {
  local pid
  for pid in "${api_server_pids[@]}"; do kill -KILL "$pid" 2>/dev/null || :; done
  for pid in "${api_server_pids[@]}"; do wait "$pid" 2>/dev/null || :; done
  api_server_pids=()
}
