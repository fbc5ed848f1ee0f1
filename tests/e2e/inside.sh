#!/usr/bin/env bash
# Installs, uses, troubles and uninstalls the operator, in the node's namespaces: run.sh calls it.
#
#   E2E_SCRATCH=FOLDER E2E_AUDIT=FILE E2E_PREVIOUS=WHICH inside.sh
set -Eeuo pipefail
shopt -s inherit_errexit
trap 'echo "error: tests/e2e/inside.sh, line $LINENO: $BASH_COMMAND" >&2' ERR
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scratch=$E2E_SCRATCH rows=$E2E_SCRATCH/rows chart=deploy/chart
export HELM_CACHE_HOME=$scratch/helm HELM_CONFIG_HOME=$scratch/helm HELM_DATA_HOME=$scratch/helm HOME=$scratch
# shellcheck source=tests/e2e/lib.sh
. tests/e2e/lib.sh

images=ghcr.io/playback-grant-operator
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
for name in playback-grant-operator media-api-simulator; do
  ctr --namespace k8s.io images tag "$images/$name:$version" "$images/$name:previous" >/dev/null 2>&1 || fail "the node has no image $name:$version"
done
definition=CustomResourceDefinition/playbackgrantrequests.playbackgrant.dev

new_namespace() { # NAME…
  local name
  for name in "$@"; do
    kubectl create namespace "$name" >/dev/null
    kubectl label namespace "$name" pod-security.kubernetes.io/enforce=restricted >/dev/null
  done
}

remove_namespace() { # NAME…: nothing of ours may hold it up
  timeout 60 kubectl delete namespace "$@" --ignore-not-found >/dev/null || fail "namespace $* does not go"
}

# The requests go with it, and then their Secrets; nothing waits for an operator.
remove_definition() {
  documented delete-crd
}

# A request without credentials is told of, within 2 s of its creation, by the API server's own record of both.
without_credentials() { # NAMESPACE: sets took
  kubectl apply --namespace "$1" --filename deploy/sample/requests.yaml >/dev/null
  within 30 'the request says CredentialsNotFound' has_reason "$1" lobby CredentialsNotFound
  took=$(python3 tests/e2e/told_after.py "$E2E_AUDIT" "$1" lobby)
  awk -v took="$took" 'BEGIN {exit !(took <= 2)}' || fail "CredentialsNotFound took $took s, more than 2"
}

the_observer_can_complain() {
  new_namespace stale
  local url='https://playback.example.com/?token=sim1.1700000000000.15000.00000000000000000000000000000000'
  kubectl create secret generic stale --namespace stale --from-literal=playbackUrl="$url" >/dev/null
  observe 5 stale stale
  ! observed 'the observer, shown an expired grant' stale || fail 'the observer has no complaint about an expired grant'
  grep -qE 'stale: expired ([2-5])\.[0-9] s' "$rows" || fail 'the observer measures wrong'
  remove_namespace stale
}

with_default_values() {
  kubectl create namespace $system >/dev/null
  documented restricted
  documented helm-plain
  documented logs
  new_namespace web
  local took
  without_credentials web
  printf an-example >"$scratch/key"
  API_KEY_SID=SK00000000000000000000000000000000 FILE=$scratch/key documented credentials
  # With credentials it calls the Media API, of which there is none here.
  within 20 'with credentials, the Media API is called' has_reason web lobby MediaApiUnavailable
  row 'helm install, default values' "pod Ready under restricted; CredentialsNotFound after $took s"
  documented helm-uninstall
  within 60 'only the definition is left' is_left "$definition"
  row 'helm uninstall' "left: $(left)"
  remove_namespace web
  documented take-ownership
  row 'another name and namespace' 'installed over the definition that was left'
  helm uninstall grants --namespace media-grants --wait >/dev/null
  remove_namespace media-grants
  remove_definition
}

# Ready in the node's images, then two minutes under trouble that must not show.
steady() { # WHAT TROUBLE…
  local what=$1 since trouble
  shift
  observe 120 web lobby kiosk keynote-grant
  since=$(date +%s%N)
  for trouble in "$@"; do
    sleep 5
    $trouble
    row "$what" "$trouble, $(elapsed "$since") s into the observation"
  done
  observes web || fail 'the observation ended before the trouble did'
  observed "$what" web || fail 'a Secret held an expired grant, or was not refreshed'
}

with_helm() {
  helm install playback-grant-operator "$scratch/previous/deploy/chart" --namespace $system --wait \
    --set simulator.enabled=true --set image.tag=previous --set simulator.image.tag=previous >/dev/null
  runs_image "$images/playback-grant-operator:previous"
  # What the chart says after the installation is what people paste.
  helm get notes playback-grant-operator --namespace $system | sed -n '/^kubectl/,$p' >"$scratch/notes"
  bash -euo pipefail "$scratch/notes" >/dev/null || fail 'the commands in NOTES.txt fail'
  has_reason default keynote GrantIssued || fail 'the sample in NOTES.txt is not Ready'
  row 'simulator.enabled=true' 'the sample that NOTES.txt prints is Ready'
  # And what README says of a refresh.
  bash -euo pipefail -c "$(grep -o 'kubectl annotate pgr keynote [^`]*' README.md)" >/dev/null || fail 'the command in README that asks for a refresh fails'
  within 20 'the refresh is handled' has_handled default keynote
  documented sample
  kubectl label namespace web pod-security.kubernetes.io/enforce=restricted >/dev/null
  # The chart before says `previous`; the new one takes its own version.
  helm_upgrade() {
    documented helm-upgrade
    helm upgrade playback-grant-operator "$chart" --namespace $system --reset-then-reuse-values --wait \
      --set image.tag=,simulator.image.tag= >/dev/null
    runs_image "$images/playback-grant-operator:$version"
    row 'helm upgrade' "from the chart $E2E_PREVIOUS, with the same image under another tag"
  }
  steady 'helm' helm_upgrade restart_rolling delete_pod kill_container
  documented simulator-help
  documented fault
  grep -q '^RefreshFailing=True MediaApiUnavailable: ' "$scratch/said" || fail "the conditions that the documentation has shown do not tell of the fault: $(cat "$scratch/said")"
  within 90 'and its end' recovered
  row 'a fault of 30 s' 'told by RefreshFailing, and its end'
  documented helm-uninstall
  within 60 'only the definition is left' is_left "$definition"
  [ "$(kubectl get secrets --namespace web --selector app.kubernetes.io/managed-by=playback-grant-operator --output name | wc -l)" = 3 ] \
    || fail 'the Secrets went with the operator'
  row 'helm uninstall' "left: $(left), the requests and their Secrets"
  remove_namespace web
  kubectl delete playbackgrantrequest/keynote secret/media-api >/dev/null
  remove_definition
}

# All three Ready, and no RefreshFailing left.
recovered() {
  local said
  said=$(kubectl get playbackgrantrequests --namespace web --output \
    'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}/{.status.conditions[?(@.type=="RefreshFailing")].status}{"\n"}{end}') || return 1
  [ "$(grep -cx 'True/' <<<"$said")" = 3 ]
}

has_handled() { # NAMESPACE NAME: the refresh that was asked for
  local both
  both=$(kubectl get playbackgrantrequest --namespace "$1" "$2" \
    --output 'jsonpath={.metadata.annotations.playbackgrant\.dev/refresh-requested-at}|{.status.lastHandledRefreshRequest}')
  [ "${both%%|*}" = "${both#*|}" ] && [ "$both" != '|' ]
}

certificate() { # NAME HOST: an authority, and a certificate of it for the host, in $scratch/NAME
  mkdir "$scratch/$1"
  (
    cd "$scratch/$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt -days 2 -subj "/CN=$1" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.csr -subj /CN=simulator
    printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:%s\n' "$2" >tls.ext
    openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile tls.ext -out tls.crt
  ) >/dev/null 2>&1
}

tls_secret() { # NAMESPACE NAME
  kubectl create secret generic simulator-tls --namespace "$1" --type kubernetes.io/tls --from-file=tls.crt="$scratch/$2/tls.crt" \
    --from-file=tls.key="$scratch/$2/tls.key" --from-file=ca.crt="$scratch/$2/ca.crt" >/dev/null
}

tells_of_the_certificate() {
  kubectl get playbackgrantrequest lobby --namespace web --output 'jsonpath={.status.conditions[?(@.type=="Ready")]}' \
    | grep 'MediaApiUnavailable' | grep -q "certificate is not trusted"
}

# Over https, by names, from an image that has nothing but the program: the authority is the file's.
with_tls() {
  local host=simulator.media-api.svc message
  certificate right "$host"
  certificate wrong "$host"
  new_namespace media-api web
  tls_secret media-api right
  sed "s|VERSION|$version|" tests/e2e/tls-simulator.yaml | kubectl apply --namespace media-api --filename - >/dev/null
  kubectl rollout status deployment/simulator --namespace media-api --timeout=60s >/dev/null || fail 'the simulator does not start'
  helm install playback-grant-operator "$chart" --namespace $system --wait >/dev/null
  export MEDIA_API_URL=https://$host:8181
  # At first another authority than the one that signed: no grant, and it is told why.
  CA_FILE=$scratch/wrong/ca.crt documented helm-ca
  kubectl apply --namespace web --kustomize deploy/sample >/dev/null
  # The pod before this one, which called another address, may have the word once more.
  within 30 'there is one pod of the operator' one_pod
  within 30 'a certificate of an unknown authority is told of' tells_of_the_certificate
  message=$(kubectl get playbackgrantrequest lobby --namespace web --output 'jsonpath={.status.conditions[?(@.type=="Ready")].message}')
  row 'https, another authority' "no grant: ${message:0:90}…"
  kubectl create configmap media-api-ca --namespace $system --from-file=ca.crt="$scratch/right/ca.crt" --dry-run=client --output yaml \
    | kubectl apply --server-side --force-conflicts --filename - >/dev/null
  documented restart
  ready web lobby kiosk keynote
  row 'https, --media-api-ca-file' "Ready, by the name $host"
  documented helm-uninstall
  kubectl delete configmap media-api-ca --namespace $system >/dev/null
  remove_namespace web media-api
  # The chart's own simulator, over https.
  certificate chart "media-api-simulator.$system.svc"
  tls_secret $system chart
  new_namespace web
  documented helm-simulator
  kubectl apply --namespace web --kustomize deploy/sample >/dev/null
  ready web lobby kiosk keynote
  helm upgrade playback-grant-operator "$chart" --namespace $system --reuse-values --wait --set simulator.tls.secretName=simulator-tls >/dev/null
  within 30 'there is one pod of the operator' one_pod
  kubectl annotate playbackgrantrequests --namespace web --all playbackgrant.dev/refresh-requested-at=now >/dev/null
  within 20 'a grant is asked for over https' has_handled web lobby
  ready web lobby kiosk keynote
  kubectl get deployment playback-grant-operator --namespace $system --output 'jsonpath={.spec.template.spec.containers[0].env}' \
    | grep -q '"https://media-api-simulator' || fail 'the operator does not call the simulator over https'
  row 'simulator.enabled, then simulator.tls' 'Ready, and refreshed over https'
  documented helm-uninstall
  kubectl delete secret simulator-tls --namespace $system >/dev/null
  remove_namespace web
  remove_definition
}

with_manifests() {
  remove_namespace $system
  documented kustomize-simulator
  documented sample
  kubectl label namespace web pod-security.kubernetes.io/enforce=restricted >/dev/null
  # From the image of another tag, as another release would have it, to the one that the manifests name.
  local before="$scratch/before"
  mkdir "$before"
  printf 'resources: [all.yaml]\nimages:\n  - {name: %s/playback-grant-operator, newTag: previous}\n' "$images" >"$before/kustomization.yaml"
  kubectl kustomize deploy/manifests/overlays/simulator >"$before/all.yaml"
  kubectl apply --server-side --kustomize "$before" >/dev/null
  kubectl rollout status deployment/playback-grant-operator --namespace $system --timeout=60s >/dev/null || fail 'the image of another tag is not run'
  runs_image "$images/playback-grant-operator:previous"
  manifests_upgrade() {
    documented kustomize-simulator
    runs_image "$images/playback-grant-operator:$version"
  }
  steady 'manifests' manifests_upgrade restart_rolling delete_pod kill_container
  [ "$(left | wc -l)" -ge 12 ] || fail 'the search for what is left finds less than there is'
  timeout 90 kubectl delete --kustomize deploy/manifests/overlays/simulator >/dev/null || fail 'the manifests do not go: an object hangs'
  within 60 'nothing is left' is_left ''
  row 'kubectl delete --kustomize' 'left: nothing'
  remove_namespace web
  # From the simulator's overlay to the base.
  documented kustomize-simulator
  documented kustomize
  documented drop-simulator
  documented kustomize-delete
  within 60 'nothing is left' is_left ''
  # The single file of a release, and the folder that it is made of.
  documented install-yaml
  kubectl diff --server-side --kustomize deploy/manifests/base >"$scratch/said" || { cat "$scratch/said"; fail 'install.yaml is not what the folder says'; }
  documented kustomize
  row 'install.yaml' 'applied; it is what the folder says'
  documented kustomize-delete
  within 60 'nothing is left' is_left ''
}

# What the operator's account has asked beyond requests, Secrets and Events of these namespaces: a line of the audit log each.
beyond() { # SINCE NAMESPACE|NAMESPACE…
  grep -F "\"username\":\"system:serviceaccount:$system:playback-grant-operator\"" "$E2E_AUDIT" | tail -n "+$((1 + $1))" \
    | sed -E "/\"objectRef\":\{\"resource\":\"(secrets|playbackgrantrequests|events)\",\"namespace\":\"($2)\"/d"
}

asked_by_account() { grep -cF "\"username\":\"system:serviceaccount:$system:playback-grant-operator\"" "$E2E_AUDIT" || :; }

namespaced() {
  local before asked others took
  new_namespace web kiosk other
  before=$(asked_by_account)
  helm install playback-grant-operator "$chart" --namespace $system --create-namespace --wait --set 'namespaces={web,kiosk}' \
    --set simulator.enabled=true >/dev/null
  for name in web kiosk other; do kubectl apply --namespace $name --kustomize deploy/sample >/dev/null; done
  ready web lobby kiosk keynote
  ready kiosk lobby kiosk keynote
  sleep 15
  ready web lobby kiosk keynote
  local statuses
  statuses=$(kubectl get playbackgrantrequests --namespace other --output 'jsonpath={.items[*].metadata.name}:{.items[*].status}')
  [ "$statuses" = 'keynote kiosk lobby:' ] || fail "the third namespace is served: $statuses"
  [ "$(kubectl get secrets --namespace other --output name)" = secret/media-api ] || fail 'the third namespace has Secrets of the operator'
  asked=$(($(asked_by_account) - before))
  [ "$asked" -gt 20 ] || fail "the audit log knows $asked requests of the account"
  others=$(beyond "$before" 'web|kiosk')
  [ -z "$others" ] || fail "the account has asked for more than its two namespaces: $(cut -c 1-300 <<<"$others" | head -n 3)"
  row 'namespaced, two of three' "six requests Ready, the third namespace untouched; of $asked requests of the account 0 cluster-wide or beyond the two"
  helm uninstall playback-grant-operator --namespace $system --wait >/dev/null
  documented helm-namespaced
  documented helm-uninstall
  remove_namespace web kiosk other $system
  remove_definition
  # By manifests, in a cluster that has had nothing of it.
  new_namespace web
  before=$(asked_by_account)
  documented kustomize-namespaced
  without_credentials web
  row 'overlay namespaced' "CredentialsNotFound after $took s"
  others=$(beyond "$before" web)
  [ -z "$others" ] || fail "the account has asked for more than its namespace: $(cut -c 1-300 <<<"$others" | head -n 3)"
  [ "$(asked_by_account)" -gt "$before" ] || fail 'the audit log knows no request of the account'
  # The question is asked in the account's name, so after what the account itself has asked was looked at.
  everywhere no || fail 'the overlay gives rights in all namespaces'
  documented kustomize-namespaced-delete
  within 60 'nothing is left' is_left ''
  # And where the operator had served all namespaces before.
  documented kustomize
  everywhere yes || fail 'the base gives no right in all namespaces'
  documented kustomize-namespaced
  documented drop-cluster-role
  everywhere no || fail 'rights in all namespaces are left'
  documented kustomize-namespaced-delete
  within 60 'nothing is left' is_left ''
  row 'overlay namespaced, after base' 'the rights in all namespaces are gone'
  remove_namespace web
}

everywhere() { # yes | no: whether the account may list all Secrets, by the API server's own word
  local said
  said=$(kubectl auth can-i list secrets --all-namespaces --as "system:serviceaccount:$system:playback-grant-operator" 2>/dev/null || :)
  [ "$said" = "$1" ]
}

# From a file, with the images of another registry: as where the published ones can't be reached.
offline() {
  helm package "$chart" --destination "$scratch/offline" >/dev/null
  ctr --namespace k8s.io images tag "$images/playback-grant-operator:$version" "registry.example.com/playback-grant-operator:$version" >/dev/null 2>&1
  CHART=$(echo "$scratch"/offline/*.tgz)
  export CHART
  REGISTRY=registry.example.com documented helm-offline
  runs_image "registry.example.com/playback-grant-operator:$version"
  row 'without a registry' 'pod Ready, from a file and by an image of another name'
  documented helm-uninstall
  remove_namespace $system
  remove_definition
}

the_observer_can_complain
with_default_values
with_helm
with_tls
with_manifests
namespaced
offline

# Every block of commands that the documentation has was run.
diff <(sort -u "$scratch/documented") <(sed -n 's/^<!-- e2e: \(.*\) -->$/\1/p' docs/install.md | sort) \
  || fail 'the left ones were run, the right ones stand in docs/install.md'
row 'docs/install.md' "$(sort -u "$scratch/documented" | wc -l) blocks of commands, each run as it stands there"
