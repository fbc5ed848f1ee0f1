#!/usr/bin/env bash
# Installs the Helm chart into a real API server, with Helm 4 and with Helm 3: what it takes and refuses under Pod Security `restricted`, what
# the admission policy keeps the operator's account from, what it may do in namespaced mode, and what an uninstallation leaves. Nothing runs
# here: `make e2e` does that. Needs Go once, to build the tools. With K8S=1.33 on the oldest supported Kubernetes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. tests/deploy/api-server.sh

chart=deploy/chart
tools=$(tools/build.sh etcd kube-apiserver kubectl helm helm3)
PATH=$tools:$PATH
work=$(mktemp -d)
trap 'stop_api_server; rm -rf "$work"' EXIT
export HELM_CACHE_HOME=$work/cache HELM_CONFIG_HOME=$work/config HELM_DATA_HOME=$work/data

readonly system=playback-grant-system name=playback-grant-operator
readonly account=system:serviceaccount:$system:$name
say() { printf 'install: %s\n' "$*"; }
die() { printf 'error: install: %s\n' "$*" >&2; exit 1; }

taken() { # WHAT COMMAND…: it has to succeed
  "${@:2}" >"$work/out" 2>&1 || { cat "$work/out" >&2; die "$1 is refused"; }
  cases=$((cases + 1))
}
refused() { # WHAT WORDS COMMAND…: it has to fail, and the answer has the words
  if "${@:3}" >"$work/out" 2>&1; then die "$1 is taken"; fi
  grep -qF -- "$2" "$work/out" || { cat "$work/out" >&2; die "$1 is refused, but not with the words: $2"; }
  cases=$((cases + 1))
}
cases=0

as_operator() { kubectl --as "$account" --namespace web "$@"; }
secret() { # NAME LABELS OWNERS: a Secret's manifest
  printf '{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "%s", "labels": {%s}, "ownerReferences": [%s]}}' "$@"
}
create() { kubectl create --namespace web --filename - "${@:2}" <<<"$1"; }
readonly label='app.kubernetes.io/managed-by'
readonly ours="\"$label\": \"$name\""
owner() { # KIND GROUP CONTROLLER
  printf '{"apiVersion": "%s/v1alpha1", "kind": "%s", "name": "it", "uid": "11111111-1111-1111-1111-111111111111", "controller": %s}' "$2" "$1" "$3"
}
labelled='{"metadata": {"labels": {"'$label'": "'$name'"}}}'
bare='{"metadata": {"labels": {"'$label'": null}}}'
data='{"stringData": {"grant": "new"}}'

# What a policy refuses it refuses some time after it was made.
policy_is_in_force() {
  for _ in {1..100}; do
    if ! create "$(secret probe '' '')" --as "$account" --dry-run=server >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  die "the admission policy isn't in force after 20 s"
}

policy_keeps_to_its_own() {
  local lacks='may write no Secret without the label' foreign="is not the operator's to"
  policy_is_in_force
  refused 'to create a Secret without our label' "$lacks" create "$(secret mine '' '')" --as "$account"
  refused 'to create one with the label of another' "$lacks" create "$(secret mine "\"$label\": \"Helm\"" '')" --as "$account"
  refused 'to create one that gives access of its own' 'no Secret of type kubernetes.io/service-account-token' create \
    "{\"apiVersion\": \"v1\", \"kind\": \"Secret\", \"type\": \"kubernetes.io/service-account-token\", \"metadata\": {\"name\": \"token\",
    \"labels\": {$ours}, \"annotations\": {\"kubernetes.io/service-account.name\": \"default\"}}}" --as "$account"
  taken 'to create one with our label' create "$(secret mine "$ours" '')" --as "$account"
  taken 'to change our own' as_operator patch secret mine --patch "$data"
  refused 'to take our label off our own' "$lacks" as_operator patch secret mine --patch "$bare"

  taken 'that others create what they like' create "$(secret theirs '' '')"
  refused "to change another's" "$foreign change" as_operator patch secret theirs --patch "$data"
  refused "to put our label on another's" "$foreign change" as_operator patch secret theirs --patch "$labelled"
  refused "to delete another's" "$foreign delete" as_operator delete secret theirs
  refused "to apply over another's" "$foreign change" as_operator apply --server-side --force-conflicts --filename - <<<"$(secret theirs "$ours" '')"

  taken 'that others strip our label' create "$(secret stripped '' "$(owner PlaybackGrantRequest playbackgrant.dev true)")"
  refused 'to change what was stripped, and leave it so' "$lacks" as_operator patch secret stripped --patch "$data"
  taken 'to put our label back' as_operator patch secret stripped --patch "$labelled"
  taken 'that others strip it again' kubectl --namespace web patch secret stripped --patch "$bare"
  taken 'to delete what was stripped' as_operator delete secret stripped

  local owned
  for owned in 'PlaybackGrantRequest playbackgrant.dev false' 'PlaybackGrantRequest playbackgrant.dev.example.com true' \
    'Other playbackgrant.dev true'; do
    # shellcheck disable=SC2086 # three words
    taken "that others own it: $owned" create "$(secret owned '' "$(owner $owned)")"
    refused "to put our label on what is owned by $owned" "$foreign change" as_operator patch secret owned --patch "$labelled"
    refused "to delete what is owned by $owned" "$foreign delete" as_operator delete secret owned
    taken 'that others delete it' kubectl --namespace web delete secret owned
  done
  taken 'to delete our own' as_operator delete secret mine
  taken 'that others delete theirs' kubectl --namespace web delete secret theirs
}

pod_of() { # DEPLOYMENT SED: its pod, alone, changed
  kubectl --namespace "$system" get deployment "$1" --output 'jsonpath={.spec.template}' |
    sed -e 's/^{/{"apiVersion":"v1","kind":"Pod",/' -e 's/"metadata":{/&"name":"alone",/' -e "$2"
}
pods_are_restricted() {
  local deployment field
  kubectl --namespace "$system" create serviceaccount default >/dev/null 2>&1 || : # nobody makes it here
  for deployment in "$name" media-api-simulator; do
    taken "the pod of $deployment" kubectl --namespace "$system" create --dry-run=server --filename - <<<"$(pod_of "$deployment" '')"
    for field in '"runAsNonRoot":true' '"seccompProfile":{"type":"RuntimeDefault"}' '"allowPrivilegeEscalation":false' '"drop":\["ALL"\]'; do
      refused "the pod of $deployment without $field" 'violates PodSecurity "restricted' \
        kubectl --namespace "$system" create --dry-run=server --filename - <<<"$(pod_of "$deployment" "s/$field,\{0,1\}//; s/,}/}/g")"
    done
  done
}

# What the notes say can be pasted: here up to the request, which is stored.
notes_can_be_pasted() {
  "$1" get notes "$name" --namespace "$system" | sed -n '/^kubectl create secret/,/^END$/p' >"$work/pasted"
  taken 'what the notes say' bash -euo pipefail "$work/pasted"
  taken 'the request of the notes' kubectl --namespace default get playbackgrantrequest keynote
  taken 'to remove it' kubectl --namespace default delete secret/media-api playbackgrantrequest/keynote
}

rights() { # yes or no for each NAMESPACE: may the account list Secrets there?
  local namespace
  for namespace in "$@"; do
    if [ "$namespace" = all ]; then kubectl auth can-i list secrets --all-namespaces --as "$account" 2>/dev/null || :
    else kubectl auth can-i list secrets --namespace "$namespace" --as "$account" 2>/dev/null || :; fi
  done | tr '\n' ' '
}

left() { # sets rest: all objects of the release. A question that isn't answered is no answer.
  local kinds
  kinds=$(kubectl api-resources --verbs=list --output name | grep -vE '^(events|componentstatuses)' | paste -sd,) || die 'the kinds are not told'
  rest=$(kubectl get "$kinds" --all-namespaces --selector app.kubernetes.io/instance=$name --output name --ignore-not-found 2>"$work/err") \
    || die "what is left is not told: $(cat "$work/err")"
}

installs() { # HELM
  local helm=$1 values kind
  for values in default everything namespaced simulator; do
    "$helm" template "$name" "$chart" --namespace "$system" --kube-version 1.37 --values "$chart/ci/$values-values.yaml" >"$work/manifests"
    taken "what $helm makes of ci/$values-values.yaml" \
      kubectl apply --server-side --dry-run=server --warnings-as-errors --filename "$work/manifests"
  done

  taken "$helm install" "$helm" install "$name" "$chart" --namespace "$system" --set simulator.enabled=true
  if grep -iE 'warning|PodSecurity' "$work/out"; then die "$helm install warns"; fi
  [ "$(rights all web)" = 'yes yes ' ] || die "the account may list Secrets (in all, in web): $(rights all web)"
  left
  printf '%s\n' "$rest" >"$work/made"
  for kind in deployment. service/ serviceaccount/ clusterrole. clusterrolebinding. validatingadmissionpolicy. networkpolicy. poddisruptionbudget.; do
    grep -q "^$kind" "$work/made" || { cat "$work/made" >&2; die "$helm install makes no $kind"; }
  done
  pods_are_restricted
  notes_can_be_pasted "$helm"
  policy_keeps_to_its_own

  taken "$helm upgrade to a few namespaces" "$helm" upgrade "$name" "$chart" --namespace "$system" \
    --set 'namespaces={web,kiosk}' --set flowSchema.enabled=true
  [ "$(rights all web kiosk other)" = 'no yes yes no ' ] ||
    die "the account may list Secrets (in all, web, kiosk, other): $(rights all web kiosk other)"
  policy_keeps_to_its_own

  taken "$helm uninstall" "$helm" uninstall "$name" --namespace "$system"
  left
  [ "$rest" = "customresourcedefinition.apiextensions.k8s.io/playbackgrantrequests.playbackgrant.dev" ] || die "$helm uninstall leaves: $rest"
  taken "$helm install over the definition that was kept" "$helm" install "$name" "$chart" --namespace "$system" --set crds.keep=false
  taken "$helm uninstall of all" "$helm" uninstall "$name" --namespace "$system" --wait
  left
  [ -z "$rest" ] || die "$helm uninstall with crds.keep=false leaves: $rest"
}

# Who goes over to Helm 4 goes on with what Helm 3 has installed.
helm_4_takes_over() {
  taken 'helm3 install' helm3 install "$name" "$chart" --namespace "$system" --set crds.keep=false
  taken "helm upgrade of Helm 3's release" helm upgrade "$name" "$chart" --namespace "$system" --reset-then-reuse-values --set replicaCount=2
  [ "$(kubectl --namespace "$system" get deployment "$name" --output 'jsonpath={.spec.replicas}')" = 2 ] || die 'Helm 4 has changed nothing'
  taken "helm uninstall of Helm 3's release" helm uninstall "$name" --namespace "$system" --wait
  left
  [ -z "$rest" ] || die "helm uninstall of Helm 3's release leaves: $rest"
}

argocd_takes_its_check() { # by the command in deploy/argocd/README.md
  kubectl create namespace argocd >/dev/null
  kubectl --namespace argocd create configmap argocd-cm --from-literal=other=kept >/dev/null
  sed -n '/^```sh$/,/^```$/{/^```/!p}' deploy/argocd/README.md >"$work/pasted"
  taken "what Argo CD's README says" bash -euo pipefail "$work/pasted"
  kubectl --namespace argocd get configmap argocd-cm \
    --output 'jsonpath={.data.resource\.customizations\.health\.playbackgrant\.dev_PlaybackGrantRequest}' |
    cmp - deploy/argocd/health.lua || die 'argocd-cm holds another health check'
  [ "$(kubectl --namespace argocd get configmap argocd-cm --output 'jsonpath={.data.other}')" = kept ] || die 'argocd-cm has lost what it held'
}

start_api_server "$tools" "$work/plane"
say "a real API server, $(kubectl version | sed -n 's/^Server Version: //p')"
for namespace in web kiosk other; do kubectl create namespace "$namespace" >/dev/null; done
kubectl create namespace "$system" >/dev/null
kubectl label namespace "$system" pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted >/dev/null
for helm in helm helm3; do
  installs "$helm"
  say "$("$helm" version --short): $cases cases passed"
done
helm_4_takes_over
argocd_takes_its_check
say 'all is well'
