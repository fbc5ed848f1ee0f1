#!/usr/bin/env bash
# What the manifests and the chart make is valid for the oldest and the newest supported Kubernetes, and good by kube-score.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$(tools/build.sh kubectl kubectl-oldest helm kubeconform kube-score)
PATH=$tools:$PATH
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

for folder in crds deploy/manifests/base deploy/manifests/role deploy/manifests/overlays/* deploy/sample; do
  kubectl kustomize "$folder" >"$out/${folder//\//-}.yaml" || fail "kubectl kustomize $folder"
  kubectl-oldest kustomize "$folder" | cmp -s - "$out/${folder//\//-}.yaml" || fail "the oldest supported kubectl makes something else of $folder, or nothing"
done
for values in deploy/chart/ci/*.yaml; do
  name=$(basename "$values" .yaml)
  helm template playback-grant-operator deploy/chart --namespace playback-grant-system --values "$values" >"$out/chart-$name.yaml" \
    || fail "helm template with $values"
done

# --- Each object is what its kind allows, in both versions. Kinds of the Prometheus operator are described nowhere here.
tests/deploy/schemas.sh "$out/schemas"
conform() { # VERSION FILE…
  kubeconform -strict -summary -skip ServiceMonitor,PodMonitor,PrometheusRule \
    -schema-location "$out/schemas/$1/{{.ResourceKind}}{{.KindSuffix}}.json" "${@:2}"
}
for version in 1.33 1.37; do
  echo "kubeconform, Kubernetes $version:"
  conform "$version" "$out"/*.yaml || fail "something isn't what Kubernetes $version allows"
done

{ cat "$out/deploy-manifests-overlays-simulator.yaml"; echo ---; cat "$out/deploy-sample.yaml"; } >"$out/whole.yml"
conform 1.37 "$out/whole.yml" >/dev/null || fail 'the unspoilt manifest is refused'
spoil() { # WHAT SED-EXPRESSION: a spoilt manifest must be refused
  sed "$2" "$out/whole.yml" >"$out/spoilt.yml"
  ! cmp -s "$out/whole.yml" "$out/spoilt.yml" || fail "nothing was spoilt by $2"
  for version in 1.33 1.37; do
    ! conform $version "$out/spoilt.yml" >/dev/null || fail "kubeconform takes $1 for Kubernetes $version"
  done
}
spoil 'a field that is unknown' 's/replicas: 1/replicaz: 1/'
spoil 'a value of another type' 's/containerPort: 8080/containerPort: eighty/'
spoil 'a request with an unknown field' 's/ttlSeconds: 15/ttlSecond: 15/'
spoil 'a request without its streamer' '/playerStreamerSid:/d'
# The two descriptions are of two versions.
! diff -rq "$out/schemas/1.33" "$out/schemas/1.37" >/dev/null || fail 'the descriptions of Kubernetes 1.33 and 1.37 are the same'
only_new=$(cd "$out/schemas" && comm -13 <(ls 1.33) <(ls 1.37) | wc -l)
[ "$only_new" -gt 0 ] || fail 'Kubernetes 1.37 has no kind that 1.33 has not'

# --- kube-score, with the exceptions that are meant, each of which is needed.
exceptions=(
  --ignore-container-cpu-limit                               # a refresh that is held back for want of CPU time is a late one
  --ignore-test=container-image-pull-policy                  # a released tag never moves; a node goes on without the registry
  --ignore-test=container-security-context-user-group-id     # the image has its number, and OpenShift gives its own
  --ignore-test=container-ephemeral-storage-request-and-limit # nothing is written but the log, which the kubelet rotates
)
score() { kube-score score --kubernetes-version v1.33 --output-format ci "$@"; }
echo 'kube-score:'
for file in "$out"/deploy-manifests-base.yaml "$out"/deploy-manifests-overlays-*.yaml "$out"/chart-*.yaml; do
  score "${exceptions[@]}" "$file" >"$out/score" || { grep '^\[CRITICAL\]' "$out/score" >&2; fail "kube-score finds fault with $(basename "$file")"; }
  echo "  $(basename "$file"): $(grep -c '^\[OK\]' "$out/score") checks"
done
for exception in "${exceptions[@]}"; do
  others=()
  for other in "${exceptions[@]}"; do [ "$other" = "$exception" ] || others+=("$other"); done
  ! score "${others[@]}" "$out/deploy-manifests-base.yaml" >/dev/null || fail "kube-score needs no exception $exception"
done

# --- The chart and the manifests make the same of what matters: rights and their fence, the Deployment's way to be replaced, the pod, the ports.
mkdir "$out/chart" "$out/base"
cp "$out/chart-default-values.yaml" "$out/chart/all.yaml"
cp "$out/deploy-manifests-base.yaml" "$out/base/all.yaml"
for from in chart base; do
  printf 'resources: [all.yaml]\n' >"$out/$from/kustomization.yaml"
  # Labels of the chart alone are left out, and what is said by values in the chart and by the program's own defaults in the manifests.
  kubectl kustomize "$out/$from" | sed -E '/^ *(app.kubernetes.io\/(instance|managed-by|version|component|part-of)|helm.sh\/chart): /d' \
    | awk -v RS='---\n' '/(^|\n)kind: (ClusterRole|ClusterRoleBinding|ServiceAccount|Service|NetworkPolicy|PodDisruptionBudget|ValidatingAdmissionPolicy|ValidatingAdmissionPolicyBinding)\n/ {
      match($0, /\n  name: [^\n]*/); name = substr($0, RSTART + 9, RLENGTH - 9)
      match($0, /kind: [^\n]*/); kind = substr($0, RSTART, RLENGTH)
      sub(/metadata:\n(  [^\n]*\n)*/, ""); print kind, name; print
    }' >"$out/$from.objects"
  kubectl kustomize "$out/$from" | awk -v RS='---\n' '/(^|\n)kind: Deployment\n/' | awk '
    /^      (containers|labels|annotations):/ {next}
    /^  (strategy|replicas|revisionHistoryLimit):/ {show = 1} /^  [a-z]/ && !/^  (strategy|replicas|revisionHistoryLimit):/ {show = 0}
    /^ *(allowPrivilegeEscalation|readOnlyRootFilesystem|runAsNonRoot|automountServiceAccountToken|enableServiceLinks|serviceAccountName|terminationGracePeriodSeconds|containerPort|image|imagePullPolicy|path|memory|cpu): / {print; next}
    /- (ALL|controller)$/ || /type: RuntimeDefault/ || show {print}' >"$out/$from.deployment"
done
[ "$(grep -c '^kind: .* ' "$out/base.objects")" -eq 10 ] || fail 'the manifests have not the ten objects that are compared'
diff -u "$out/base.objects" "$out/chart.objects" || fail 'the chart and the manifests differ in what they install'
[ "$(wc -l <"$out/base.deployment")" -gt 20 ] || fail 'too little of the Deployment is compared'
diff -u "$out/base.deployment" "$out/chart.deployment" || fail 'the chart and the manifests differ in the Deployment'
echo 'the chart and the manifests install the same'

# --- The overlay for some namespaces gives no right in all of them.
everywhere() { awk -v RS='---\n' '/(^|\n)kind: ClusterRole(Binding)?\n/ && /\n  name: playback-grant-operator\n/' "$1"; }
[ -n "$(everywhere "$out/deploy-manifests-base.yaml")" ] || fail 'the search for the cluster role finds none'
[ -z "$(everywhere "$out/deploy-manifests-overlays-namespaced.yaml")" ] || fail 'the overlay for some namespaces gives a right in all'
[ -z "$(everywhere "$out/chart-namespaced-values.yaml")" ] || fail 'the chart for some namespaces gives a right in all'

# --- One version everywhere.
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
for file in deploy/manifests/base/kustomization.yaml deploy/manifests/overlays/simulator/kustomization.yaml; do
  grep -q "newTag: $version\$" "$file" || fail "$file has another version than Cargo.toml: $version"
done
for key in version appVersion; do
  grep -Eq "^$key: \"?$version\"?\$" deploy/chart/Chart.yaml || fail "deploy/chart/Chart.yaml has another $key than Cargo.toml: $version"
done
echo "one version everywhere: $version"
