#!/usr/bin/env bash
# The image of this machine's architecture, without a container: what is in it is put into an empty folder and run there as its user, with
# nothing around it. It needs root, for chroot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

die() { printf 'error: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || die 'the image is tried in a root folder of its own: run this as root'
case $(uname -m) in x86_64) arch=amd64 ;; aarch64 | arm64) arch=arm64 ;; *) die "there is no image for $(uname -m)" ;; esac

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || :; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP

blob() { tar -xOf "$1" "blobs/sha256/$2"; }
digests() { grep -o 'sha256:[0-9a-f]*' | cut -d: -f2; }

unpack() { # NAME: its layers into $work/NAME; what its configuration says is compared with what pods rely on
  local name=$1 archive=target/image/$1-$arch.tar manifest config layer root=$work/$1
  [ -f "$archive" ] || die "there is no $archive: run make image"
  manifest=$(tar -xOf "$archive" index.json | digests | head -n 1)
  config=$(blob "$archive" "$manifest" | sed 's/.*"config":{\([^}]*\)}.*/\1/' | digests)
  for wanted in '"User":"65532:65532"' "\"Entrypoint\":\[\"/$name\"\]" "\"architecture\":\"$arch\""; do
    blob "$archive" "$config" | tr -d ' \n' | grep -q "$wanted" || die "$archive is not configured with $wanted"
  done
  mkdir "$root"
  for layer in $(blob "$archive" "$manifest" | sed 's/.*"layers":\[\([^]]*\)\].*/\1/' | digests); do blob "$archive" "$layer" | tar -xz -C "$root"; done
  diff <(cd "$root" && find . ! -type d -printf '%y %m %p\n' | sort) <(printf '%s\n' 'f 644 ./etc/ssl/certs/ca-certificates.crt' "f 755 ./$name") || die "$archive holds other files than these"
}

# NAME ARGUMENT…: into `inside`, the command that runs it in its folder. One process, so that its id is the program's.
prepare() {
  inside=(env -i ${KUBECONFIG:+KUBECONFIG="$KUBECONFIG"} "$(command -v chroot)" --userspec=65532:65532 "$work/$1" "/$1" "${@:2}")
}

version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
for name in playback-grant-operator media-api-simulator; do
  unpack "$name"
  prepare "$name" --version
  said=$("${inside[@]}")
  [[ $said == "$name $version"* ]] || die "$name --version says: $said"
  printf '%s: %s\n' "target/image/$name-$arch.tar" "$said"
done

# The simulator serves.
prepare media-api-simulator --listen 127.0.0.1:0
: >"$work/simulator.out" # it is looked into before the other process has begun
"${inside[@]}" >"$work/simulator.out" &
pids+=($!)
url=
for _ in {1..300}; do
  url=$(sed -n 's/^media-api-simulator listens on //p' "$work/simulator.out")
  [ -n "$url" ] && break
  sleep 0.1
done
[ -n "$url" ] || die 'the simulator did not start'
status=$(curl -s -o /dev/null -w '%{http_code}' -u SK1:secret -d Ttl=60 "$url/v1/PlayerStreamers/VJ0123456789abcdef0123456789abcdef/PlaybackGrant")
[ "$status" = 201 ] || die "the simulator answers $status to a call for a grant"
echo 'the simulator issues a grant'

# The controller starts: it trusts the image's authorities, finds its API server by name, and tells that nobody answers there.
root=$work/playback-grant-operator
cat >"$root/kubeconfig" <<'CONFIG'
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "https://localhost:1"}}]
users: [{name: none, user: {token: none}}]
CONFIG
port=$((20000 + RANDOM % 10000))
KUBECONFIG=/kubeconfig prepare playback-grant-operator controller --bind-address "127.0.0.1:$port"
"${inside[@]}" 2>"$work/controller.log" &
pids+=($!)
live=
for _ in {1..300}; do
  live=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/livez" || :)
  [ "$live" = 200 ] && break
  sleep 0.1
done
ready=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$port/readyz" || :)
if [ "$live" != 200 ] || [ "$ready" != 503 ]; then
  cat "$work/controller.log" >&2
  die "/livez answers $live, expected 200; /readyz $ready, expected 503 without an API server"
fi
! grep -q 'CA root certificate' "$work/controller.log" || die "the controller can't read the image's authorities: $(cat "$work/controller.log")"
echo 'the controller starts, is live, and is not ready without an API server'

# Without authorities it says so, and starts not at all.
rm "$root/etc/ssl/certs/ca-certificates.crt"
code=0
KUBECONFIG=/kubeconfig prepare playback-grant-operator controller --bind-address 127.0.0.1:0
"${inside[@]}" 2>"$work/untrusting.log" || code=$?
if [ "$code" -ne 1 ] || ! grep -q 'no certificate authorities to trust' "$work/untrusting.log"; then
  cat "$work/untrusting.log" >&2
  die "without authorities the controller exits $code"
fi
echo 'without authorities it ends with a message'

# The binaries tell what they are made of.
tools/sbom.sh >"$work/sbom"
for name in playback-grant-operator media-api-simulator; do
  for crate in rustls tokio; do
    grep -q "pkg:cargo/$crate@" "target/image/$name-$arch.cdx.json" || die "$name does not tell that it has $crate in it"
  done
done
grep -q 'pkg:cargo/kube-client@' "target/image/playback-grant-operator-$arch.cdx.json" || die 'the operator does not tell that it has kube-client in it'
cat "$work/sbom"
