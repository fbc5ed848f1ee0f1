# What the parts of `make e2e` share. They run in the node's namespaces, with kubectl and helm on their PATH.
# shellcheck shell=bash

system=playback-grant-system
began=$(date +%s%N)

elapsed() { # SINCE, nanoseconds: seconds with one decimal
  awk -v since="$1" -v now="$(date +%s%N)" 'BEGIN {printf "%.1f", (now - since) / 1e9}'
}

row() { # WHAT SEEN: a line of the table that is printed at the end
  printf '%s\t%s\n' "$1" "$2" >>"$rows"
  printf '%6s s  %s: %s\n' "$(elapsed "$began")" "$1" "$2"
}

fail() {
  printf 'error: %s\n' "$*" >&2
  {
    kubectl get pods --all-namespaces --output wide
    kubectl get playbackgrantrequests --all-namespaces --output wide
    kubectl get events --namespace $system --sort-by=.lastTimestamp | tail -n 15
    kubectl logs --namespace $system --selector app.kubernetes.io/name=playback-grant-operator --all-containers --tail 15 --prefix
  } >&2 2>&1 || :
  exit 1
}

within() { # SECONDS WHAT COMMAND…: until the command succeeds
  local limit=$(($1 * 1000000000)) what=$2 since
  since=$(date +%s%N)
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $(($(date +%s%N) - since)) -lt $limit ] || fail "not within $((limit / 1000000000)) s: $what"
    sleep 0.05
  done
}

# The block of commands that docs/install.md has under a name is run as it stands there. What is published with a release is taken from here:
# the chart's address becomes the chart's folder, the single file's address the file.
documented() { # NAME
  local block
  block=$(awk -v mark="<!-- e2e: $1 -->" '$0 == mark {found = 1; next} found && /^```sh$/ {inside = 1; next} inside && /^```$/ {exit} inside' docs/install.md)
  [ -n "$block" ] || fail "docs/install.md has no block $1"
  echo "$1" >>"$scratch/documented"
  block=${block//oci:\/\/ghcr.io\/playback-grant-operator\/charts\/playback-grant-operator/$chart}
  block=${block//https:\/\/github.com\/playback-grant-operator\/playback-grant-operator\/releases\/latest\/download\/install.yaml/target\/install.yaml}
  # Nothing of it waits for long; what hangs is a failure.
  timeout 120 bash -euo pipefail -c "$block" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; fail "the commands under '$1' in docs/install.md fail"; }
}

ready() { # NAMESPACE NAME…: waits until the requests are Ready
  local namespace=$1 name
  shift
  for name in "$@"; do
    kubectl wait --namespace "$namespace" --for=condition=Ready --timeout=60s "playbackgrantrequest/$name" >/dev/null || fail "$namespace/$name isn't Ready"
  done
}

reason() { # NAMESPACE NAME: of the condition Ready
  kubectl get playbackgrantrequest --namespace "$1" "$2" --output 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}'
}

has_reason() { [ "$(reason "$1" "$2")" = "$3" ]; }

# The operator's pods, but those that are about to end: a line each of name, image and the container's ID.
operator_pods() {
  kubectl get pods --namespace $system --selector app.kubernetes.io/component=controller --field-selector status.phase=Running \
    --output 'jsonpath={range .items[*]}{.metadata.deletionTimestamp} {.metadata.name} {.spec.containers[0].image} {.status.containerStatuses[0].containerID}{"\n"}{end}' \
    | sed -n 's/^ //p'
}

one_pod() { [ "$(operator_pods | wc -l)" = 1 ]; }

runs_image() { # IMAGE: one pod, of that image
  within 30 'there is one pod of the operator' one_pod
  [ "$(operator_pods | cut -d ' ' -f 2)" = "$1" ] || fail "the operator's image is $(operator_pods | cut -d ' ' -f 2), not $1"
}

# --- What troubles an operator: each leaves it Ready again.

restart_rolling() {
  kubectl rollout restart deployment/playback-grant-operator --namespace $system >/dev/null
  kubectl rollout status deployment/playback-grant-operator --namespace $system --timeout=60s >/dev/null || fail 'the rolling restart does not end'
}

delete_pod() {
  local before
  within 30 'there is one pod of the operator' one_pod
  before=$(operator_pods | cut -d ' ' -f 1)
  kubectl delete pod --namespace $system --wait=false "$before" >/dev/null
  another_pod() { one_pod && [ "$(operator_pods | cut -d ' ' -f 1)" != "$before" ]; }
  within 60 "another pod takes the deleted one's place" another_pod
  kubectl rollout status deployment/playback-grant-operator --namespace $system --timeout=60s >/dev/null || fail 'the other pod does not get ready'
}

kill_container() {
  local pod container before
  within 30 'there is one pod of the operator' one_pod
  read -r pod _ container < <(operator_pods)
  restarts() { kubectl get pod --namespace $system "$pod" --output 'jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}'; }
  before=$(restarts)
  [ "$before" = '0 true' ] || fail "the container that is to be killed has restarted, or is not ready: $before"
  ctr --namespace k8s.io tasks kill --signal KILL "${container#containerd://}" >"$scratch/said" 2>&1 || { cat "$scratch/said" >&2; fail 'the container was not killed'; }
  killed_is_back() { [ "$(restarts)" = '1 true' ]; }
  within 60 'the killed container is back' killed_is_back
}

# --- The observer: a pod that reads Secrets through the API.

observe() { # SECONDS NAMESPACE SECRET…: starts it
  local seconds=$1 namespace=$2 arguments
  shift 2
  kubectl delete job observer --namespace "$namespace" --ignore-not-found >/dev/null
  arguments=$(printf ', "%s"' "$seconds" "$namespace" "$@")
  sed "s|ARGUMENTS|[${arguments#, }]|" tests/e2e/observer.yaml | kubectl apply --namespace "$namespace" --filename - >/dev/null
  within 30 'the observer runs' observes "$namespace"
}

observes() { [ "$(kubectl get job observer --namespace "$1" --output 'jsonpath={.status.active}{.status.ready}')" = 11 ]; }

observed() { # WHAT NAMESPACE: waits for its end, and puts what it saw into the table
  local finished
  for _ in $(seq 600); do
    finished=$(kubectl get job observer --namespace "$2" --output 'jsonpath={.status.conditions[?(@.status=="True")].type}')
    [[ $finished != *Complete* && $finished != *Failed* ]] || break
    sleep 0.5
  done
  local line said
  said=$(kubectl logs --namespace "$2" job/observer) || fail 'the observer has no log'
  while read -r line; do row "$1" "$line"; done <<<"$said"
  [[ $finished = *Complete* ]]
}

# --- What is left of an installation, but its namespaces: a line an object, and the definition among them.

left() {
  local kinds found
  kinds=$(kubectl api-resources --verbs=list,delete --output name | grep -v '^events' | paste -sd, -) || return 1
  found=$(kubectl get "$kinds" --all-namespaces --selector app.kubernetes.io/name=playback-grant-operator --ignore-not-found \
    --output 'jsonpath={range .items[*]}{.kind}/{.metadata.name}{"\n"}{end}' 2>"$scratch/said") || return 1
  found+=$'\n'$(kubectl get customresourcedefinitions --output 'jsonpath={range .items[?(@.spec.group=="playbackgrant.dev")]}{.kind}/{.metadata.name}{"\n"}{end}') \
    || return 1
  sed '/^$/d; /^Namespace\//d' <<<"$found" | sort -u
}

is_left() { # OBJECT…: these and no others; a question that isn't answered is no answer
  local found
  found=$(left) || return 1
  [ "$(printf %s "$found")" = "$(printf '%s\n' "$@" | sed '/^$/d')" ]
}
