#!/usr/bin/env bash
# Checks the Helm chart, with Helm 4 and Helm 3: lint, its suites, what its schema refuses, and that what is generated is current.
# Needs Go once, to build the tools.
#
#   tests/deploy/chart.sh          checks
#   tests/deploy/chart.sh --docs   writes the chart's README.md anew
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

chart=deploy/chart
tools=$(tools/build.sh helm helm3 helm-unittest helm-docs)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Neither a cluster nor the settings of whoever runs this.
export HELM_CACHE_HOME=$work/cache HELM_CONFIG_HOME=$work/config HELM_DATA_HOME=$work/data KUBECONFIG=$work/none

say() { printf 'chart: %s\n' "$*"; }
die() { printf 'error: chart: %s\n' "$*" >&2; exit 1; }
render() { "$tools/$1" template playback-grant-operator "$chart" --namespace playback-grant-system "${@:2}"; }

leaves() { # prints the path of each value in values.yaml
  mkdir -p "$work/leaves/templates"
  printf 'apiVersion: v2\nname: leaves\nversion: 0.0.0\n' >"$work/leaves/Chart.yaml"
  cat >"$work/leaves/templates/leaves.yaml" <<'END'
{{- define "leaves" }}{{ range $key, $value := .at }}
{{- if and (kindIs "map" $value) $value }}{{ include "leaves" (dict "at" $value "under" (printf "%s%s." $.under $key)) }}
{{- else }}
- {{ printf "%s%s" $.under $key }}
{{- end }}{{ end }}{{ end -}}
leaves:
{{- include "leaves" (dict "at" (.Files.Get "read.yaml" | fromYaml) "under" "") }}
END
  cp "$chart/values.yaml" "$work/leaves/read.yaml" # values.yaml itself is no file to a template
  "$tools/helm" template leaves "$work/leaves" | sed -n 's/^ *- //p'
}

# Helm 4 ends each object with an empty line more.
trim() { awk '/^$/ { empty = empty "\n"; next } { if ($0 != "---") printf "%s", empty; empty = ""; print }'; }

lints() {
  local values helm
  for helm in helm helm3; do
    for values in "$chart"/ci/*-values.yaml; do
      "$tools/$helm" lint --strict --quiet "$chart" --values "$values" >"$work/lint" 2>&1 ||
        { cat "$work/lint" >&2; die "$helm lint --strict with $values"; }
    done
  done
}

# For a set of values both make the same, on the oldest and the newest Kubernetes.
renders_the_same() {
  local values version
  for values in "$chart"/ci/*-values.yaml; do
    for version in 1.33 1.37; do
      render helm --kube-version "$version" --values "$values" | trim >"$work/4"
      render helm3 --kube-version "$version" --values "$values" | trim >"$work/3"
      grep -q '^kind: Deployment$' "$work/4" || die "$values renders no Deployment"
      diff -u "$work/3" "$work/4" || die "Helm 3 (-) and Helm 4 (+) don't render $values the same"
    done
  done
}

# PATH of what is wrong, and how it is given. Helm has to refuse it, and to name the path.
readonly refused='
/                        --set nonsense=1
/image                   --set image.nonsense=1
/mediaApi/caSecret       --set mediaApi.caSecret.nonsense=1
/livenessProbe           --set livenessProbe.nonsense=1
/simulator/tls           --set simulator.tls.nonsense=1
/replicaCount            --set replicaCount=two
/replicaCount            --set-string replicaCount=2
/replicaCount            --set replicaCount=-1
/image/digest            --set image.digest=sha256:12
/image/pullPolicy        --set image.pullPolicy=Sometimes
/namespaces              --set namespaces=web
/namespaces/0            --set namespaces={Web}
/namespaces              --set namespaces={web,web}
/mediaApi/url            --set mediaApi.url=media.example.com
/mediaApi/url            --set mediaApi.url=https://user:word@media.example.com
/mediaApi/allowInsecure  --set-string mediaApi.allowInsecure=true
/logFormat               --set logFormat=xml
/logLevel                --set logLevel=verbose
/logLevel                --set-json logLevel="info,verbose"
/maxInFlight             --set maxInFlight=0
/statusInterval          --set statusInterval=-1
/perObjectMetrics        --set-string perObjectMetrics=yes
/admissionPolicy/enabled --set admissionPolicy.enabled=perhaps
/metrics/service/port    --set metrics.service.port=70000
/serviceMonitor/interval --set serviceMonitor.interval=often
/podAnnotations/a        --set podAnnotations.a=1
/commonLabels/a          --set commonLabels.a=not/a/value
/resources/limits/memory --set resources.limits.memory=lots
/extraArgs               --set extraArgs=--log-level=debug
/simulator/host          --set simulator.host=localhost
'
refuses() {
  local path helm n=0
  local -a given
  while read -r path given; do
    [ -n "$path" ] || continue
    n=$((n + 1))
    for helm in helm helm3; do
      # shellcheck disable=SC2086 # what is given is words
      if render "$helm" $given >/dev/null 2>"$work/refused"; then die "values.schema.json takes $given ($helm)"; fi
      [ "$path" != / ] || path=
      grep -qF -- "at '$path'" "$work/refused" || { cat "$work/refused" >&2; die "$helm refuses $given, but not for what is at '$path'"; }
    done
  done <<<"$refused"
  for helm in helm helm3; do
    if render "$helm" --kube-version 1.32 >/dev/null 2>"$work/refused"; then die "Kubernetes 1.32 is taken ($helm)"; fi
    grep -q 'incompatible with Kubernetes' "$work/refused" || { cat "$work/refused" >&2; die "$helm refuses Kubernetes 1.32 for another reason"; }
  done
  say "$n wrong values and an old Kubernetes are refused"
}

definition_is_current() {
  cmp crds/playbackgrantrequests.yaml "$chart/files/playbackgrantrequests.yaml" ||
    die 'the chart holds another CustomResourceDefinition than crds/: run `make crd` and commit it'
  # But for the labels that are put to the end of its metadata, it is installed as it is.
  render helm --set crds.keep=false --show-only templates/crd.yaml |
    sed -e '/^---$/d' -e '/^# Source: /d' -e '/^  labels:$/,/^spec:$/{/^spec:$/!d}' >"$work/definition"
  diff -u -B crds/playbackgrantrequests.yaml "$work/definition" || die 'the chart installs another CustomResourceDefinition than crds/ holds'
}

versions_agree() {
  local version
  version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
  grep -qx "version: $version" "$chart/Chart.yaml" && grep -qx "appVersion: $version" "$chart/Chart.yaml" ||
    die "Chart.yaml has another version or appVersion than Cargo.toml: $version"
  [ "$(grep -c "image: ghcr.io/playback-grant-operator/.*:$version$" "$chart/Chart.yaml")" -eq 2 ] ||
    die "the images in Chart.yaml's annotations aren't those of version $version"
}

write_documentation() { # FOLDER of a chart
  rm -f "$1/README.md" # what helm-docs can't read, it passes over with exit code 0
  "$tools/helm-docs" --chart-search-root "$1" --log-level warning --sort-values-order file
  [ -s "$1/README.md" ] || die "helm-docs makes no README.md of $1"
}

documentation_is_current() {
  local leaf row
  cp -r "$chart" "$work/documented"
  write_documentation "$work/documented"
  diff -u "$chart/README.md" "$work/documented/README.md" ||
    die "README.md isn't what helm-docs makes of values.yaml: run \`tests/deploy/chart.sh --docs\` and commit it"
  if grep -E '^\| `.*\| +\|$' "$chart/README.md"; then die 'these values have no description in values.yaml (`# -- …`)'; fi
  while read -r leaf; do # its own row, or one of what it is part of
    row=$leaf
    until grep -qF "| \`$row\` |" "$chart/README.md"; do
      [[ $row = *.* ]] || die "$leaf has no description in values.yaml (\`# -- …\`)"
      row=${row%.*}
    done
  done <"$work/leaves.txt"
}

package_holds_what_it_should() {
  "$tools/helm" package "$chart" --destination "$work" >/dev/null
  tar -tzf "$work"/playback-grant-operator-*.tgz | sed 's|^[^/]*/||' >"$work/files"
  if grep -E '^(ci|tests)/|gotmpl$' "$work/files"; then die 'these are in the package, and are no part of it'; fi
  local file
  for file in Chart.yaml README.md values.yaml values.schema.json files/playbackgrantrequests.yaml templates/NOTES.txt; do
    grep -qx "$file" "$work/files" || die "the package lacks $file"
  done
}

# A dashboard that is put into the chart is installed as it is.
dashboards_have_a_place() {
  cp -r "$chart" "$work/with-dashboard"
  mkdir -p "$work/with-dashboard/files/dashboards"
  printf '{"title": "{{ .Values }}"}\n' >"$work/with-dashboard/files/dashboards/one.json"
  "$tools/helm" template one "$work/with-dashboard" --set grafanaDashboard.enabled=true --show-only templates/grafanadashboard.yaml >"$work/dashboard"
  grep -qF '{"title": "{{ .Values }}"}' "$work/dashboard" ||
    { cat "$work/dashboard" >&2; die 'a dashboard in files/dashboards is not installed as it is'; }
}

suites_pass() {
  "$tools/helm-unittest" "$chart" >"$work/suites" 2>&1 || { cat "$work/suites" >&2; die 'a suite fails'; }
  say "$(sed -n 's/^Tests: *//p' "$work/suites") of the suites' cases"
}

# A suite in which the value LEAF is given nowhere. With LEAF empty all is given still, beside a value that nothing reads.
without() { # LEAF FILE
  awk -v leaf="$1" '
    function within(a, b) { return a == b || index(a, b ".") == 1 || index(b, a ".") == 1 }
    function indent(line) { match(line, /^ */); return RLENGTH }
    /^    set:$/ { print; print "      global: {}"; inside = 1; next }
    inside && /[^ ]/ && indent($0) <= 4 { inside = 0 }
    inside && indent($0) == 6 { key = $1; sub(/:$/, "", key); gone = key == "global" || leaf != "" && within(key, leaf) }
    inside && gone { next }
    { print }' "$2"
}

# Each value has a case that fails when the value is ignored: here each in turn is given nowhere, which is the same.
every_value_is_tested() {
  local leaf suite n=0
  local -a suites
  cp -r "$chart" "$work/ignoring"
  for suite in "$chart"/tests/*_test.yaml; do without '' "$suite" >"$work/ignoring/tests/${suite##*/}"; done
  "$tools/helm-unittest" "$work/ignoring" >"$work/suites" 2>&1 || { cat "$work/suites" >&2; die 'a suite in which nothing was left out fails'; }
  while read -r leaf; do
    suites=()
    for suite in "$chart"/tests/*_test.yaml; do
      without "$leaf" "$suite" >"$work/suite"
      if ! cmp -s "$work/suite" "$work/ignoring/tests/${suite##*/}"; then
        mkdir -p "$work/ignoring/mutants"
        mv "$work/suite" "$work/ignoring/mutants/${suite##*/}"
        suites+=("$work/ignoring/mutants/${suite##*/}")
      fi
    done
    [ ${#suites[@]} -gt 0 ] || die "no case gives a value to $leaf: add one to $chart/tests"
    if "$tools/helm-unittest" "$work/ignoring" --file 'mutants/*_test.yaml' >"$work/suites" 2>&1; then
      die "no case of $chart/tests fails when $leaf is ignored: add one"
    fi
    grep -q '^Tests: ' "$work/suites" || { cat "$work/suites" >&2; die "the suites without $leaf don't run"; }
    rm -f "${suites[@]}"
    n=$((n + 1))
  done <"$work/leaves.txt"
  say "$n values, each with a case that fails when it is ignored"
}

if [ "${1:-}" = --docs ]; then
  write_documentation "$chart"
  exit 0
fi
[ $# -eq 0 ] || die 'usage: tests/deploy/chart.sh [--docs]'

leaves >"$work/leaves.txt"
grep -qx 'image.tag' "$work/leaves.txt" || die "values.yaml can't be read"
versions_agree
definition_is_current
documentation_is_current
lints
renders_the_same
refuses
package_holds_what_it_should
dashboards_have_a_place
suites_pass
every_value_is_tested
say 'all is well'
