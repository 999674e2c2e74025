#!/usr/bin/env bash
# Installs the operator in the current cluster, or upgrades it, and waits until it runs.
#   IMG=registry/artillery-operator:tag   the image to install
#   TIMEOUT=120                           seconds until it must run
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source hack/lib/operator.sh

DEFAULT_IMG=ghcr.io/artilleryio/artillery-operator:latest # as in config/manager/kustomization.yaml
IMG=${IMG:-$DEFAULT_IMG}
TIMEOUT=${TIMEOUT:-120}
[[ $IMG =~ ^[A-Za-z0-9][A-Za-z0-9./:@_-]*$ ]] ||
  die "IMG is \"$IMG\": give the name of an image, as registry.example.com/artillery-operator:v1"
seconds TIMEOUT "$TIMEOUT"
check_cluster
check_version

# The image is put into the rendered text: no tracked file changes.
manifests=$(kubectl kustomize config/default | awk -v from="image: $DEFAULT_IMG" -v to="image: $IMG" '
  { at = index($0, from); if (at && substr($0, at) == from) { $0 = substr($0, 1, at - 1) to; found++ } print }
  END { exit found != 1 }') ||
  die "config/default does not name the image $DEFAULT_IMG exactly once: it was edited, so install it with kubectl apply -k config/default"

say "installing $IMG in the cluster of context $context"
applied=$(k apply -f - <<<"$manifests") || { printf '%s\n' "$applied"; die "the cluster refused some of config/default, see above"; }
printf '%s\n' "$applied"

kn() { k -n "$NAMESPACE" "$@"; }
deployment() { kn get deployment "$DEPLOYMENT" -o jsonpath="$1"; }

# The pods of the newest template only: an old pod may still run, or still crash.
new_pods() {
  local revision hash
  revision=$(deployment '{.metadata.annotations.deployment\.kubernetes\.io/revision}')
  hash=$(kn get replicasets -l "$MANAGER_LABEL" -o \
    jsonpath="{range .items[?(@.metadata.annotations.deployment\.kubernetes\.io/revision==\"$revision\")]}{.metadata.labels.pod-template-hash}{end}")
  [[ -z $hash ]] || kn get pods -l "$MANAGER_LABEL,pod-template-hash=$hash" -o name
}

last_event() { # last_event POD REASON: the message of the newest such event of the pod
  kn get events --field-selector "involvedObject.name=$1,reason=$2" --sort-by=.lastTimestamp -o \
    jsonpath='{range .items[*]}{.message}{"\n"}{end}' | grep -v '^Error: ' | tail -n 1
}

show_logs() { # of the try that ended, or of the current one where there was none before
  kn logs "$1" -c manager --previous --tail=20 2>/dev/null || kn logs "$1" -c manager --tail=20 2>&1 || true
}

# Ends the script if this pod will not come up by itself.
examine() {
  local pod=$1 reason message cause
  IFS=$'\t' read -r reason message < <(kn get "$pod" -o \
    jsonpath='{range .status.containerStatuses[?(@.name=="manager")]}{.state.waiting.reason}{"\t"}{.state.waiting.message}{end}{"\n"}') || return 0
  case $reason in
    ImagePullBackOff | InvalidImageName | ErrImageNeverPull)
      cause=$(last_event "${pod#pod/}" Failed) || cause=
      die "the image $IMG cannot be pulled. The kubelet says: ${cause:-$message}
Is it pushed, and may the nodes pull it? make docker-build docker-push IMG=$IMG builds and pushes it.
An operator that ran before still runs; this script with another IMG goes on from here" ;;
    CreateContainerConfigError | CreateContainerError | RunContainerError)
      die "the container cannot be started. The kubelet says: $message" ;;
    CrashLoopBackOff) # it was started twice at least
      show_logs "$pod" >&2
      die "the operator crashes, again and again ($pod); above are its last log lines" ;;
  esac
}

rolled_out() { # for: generation seen, replicas wanted, all, updated, available
  local wanted seen replicas all updated available
  IFS=' ' read -r wanted seen replicas all updated available <<<"$(deployment \
    '{.metadata.generation} {.status.observedGeneration} {.spec.replicas} {.status.replicas} {.status.updatedReplicas} {.status.availableReplicas}')"
  [[ $seen == "$wanted" && $all == "$replicas" && $updated == "$replicas" && $available == "$replicas" ]]
}

# The Deployment may be available while the manager cannot work: without rights, or without the CRD, it never leads.
leads() {
  local holder pod
  holder=$(kn get lease "$LEASE" --ignore-not-found -o jsonpath='{.spec.holderIdentity}') || return
  for pod in $(new_pods); do [[ $holder != "${pod#pod/}"_* ]] || return 0; done
  return 1
}

deadline=$((SECONDS + TIMEOUT))
until rolled_out && leads; do
  pods=$(new_pods) || pods='' # the API server may be away for a moment
  for pod in $pods; do examine "$pod"; done
  if ((SECONDS >= deadline)); then
    {
      kn get pods -l "$MANAGER_LABEL" || true
      deployment '{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}' || true
      for pod in $pods; do
        kn get "$pod" -o jsonpath='{range .status.conditions[?(@.status=="False")]}{.type}: {.message}{"\n"}{end}' || true
        show_logs "$pod"
      done
    } >&2
    die "the operator did not run within $TIMEOUT s (TIMEOUT=seconds changes that); above is what the cluster says about it"
  fi
  sleep 1
done

if grep -q "^deployment.apps/$DEPLOYMENT unchanged" <<<"$applied"; then
  say "it was installed like this before; if $IMG was pushed anew: kubectl -n $NAMESPACE rollout restart deployment/$DEPLOYMENT"
fi
say "the operator runs in namespace $NAMESPACE. Try it: kubectl apply -k hack/basic-loadtest"
