#!/usr/bin/env bash
# tests/deploy/schemas.sh FOLDER    JSON schemas of the oldest and the newest supported Kubernetes and of our own resource, from the API
# descriptions in the pinned modules: FOLDER/1.33 and FOLDER/1.37
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$here/../../tools
out=$(mkdir -p "$1" && cd "$1" && pwd)

for version in 1.33 1.37; do
  module=$tools/kubernetes
  [ "$version" = 1.37 ] || module=$module-$version
  pinned=$(cd "$module" && GOFLAGS=-mod=readonly go list -m -f '{{.Version}}' k8s.io/kubernetes)
  [[ $pinned = v$version.* ]] || { echo "error: $module pins Kubernetes $pinned, not $version" >&2; exit 1; }
  source=$(cd "$module" && GOFLAGS=-mod=readonly go mod download -json k8s.io/kubernetes | sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p')
  (cd "$tools/checks" && GOFLAGS=-mod=readonly go run ./schemas "$out/$version" "$source/api/openapi-spec/swagger.json" \
    "$here/../../crds/playbackgrantrequests.yaml")
done
