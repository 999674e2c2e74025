#!/usr/bin/env bash
# Removes the operator from the current cluster: first every load test in every namespace, with its workers, then
# the operator, its namespace, the CRD and the cluster roles. May be run again at any time.
#   TIMEOUT=180   seconds that each of the steps may take
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source hack/lib/operator.sh

TIMEOUT=${TIMEOUT:-180}
seconds TIMEOUT "$TIMEOUT"
check_cluster

CRD=loadtests.loadtest.artillery.io
WORKERS=artillery.io/part-of=loadtest,artillery.io/component=loadtest-worker
JOBS=artillery.io/part-of=loadtest,artillery.io/component=loadtest-worker-master

# Each of these prints what is still there, one object a line, and fails where the cluster cannot be asked: failing is
# not the same as printing nothing. Errors are passed on by hand, for bash ignores errexit in a condition.
left_operator() {
  k -n "$NAMESPACE" get deployment "$DEPLOYMENT" --ignore-not-found -o name || return
  k -n "$NAMESPACE" get pods -l "$MANAGER_LABEL" --ignore-not-found -o name
}
everywhere() { # everywhere RESOURCE...: objects of all namespaces
  k get --all-namespaces --ignore-not-found \
    -o jsonpath='{range .items[*]}{.kind}{" "}{.metadata.namespace}{"/"}{.metadata.name}{"\n"}{end}' "$@"
}
left_crd() { k get crd "$CRD" --ignore-not-found -o name; }
left_tests() {
  local crd
  crd=$(left_crd) || return
  [[ -z $crd ]] || everywhere "$CRD" || return
  everywhere jobs -l "$JOBS" || return
  everywhere pods -l "$WORKERS"
}
left_installed() { k get -f - --ignore-not-found -o name <<<"$manifests"; }

gone() { # gone WHAT FUNCTION: waits until FUNCTION prints nothing
  local left deadline=$((SECONDS + TIMEOUT))
  while left=$("$2") || die "cannot ask the cluster about $1, see above"; [[ $left ]]; do
    if ((SECONDS >= deadline)); then
      printf '%s\n' "$left" >&2
      die "$1: the above is still there after $TIMEOUT s. Look for finalizers and unreachable nodes, then run this again"
    fi
    sleep 1
  done
}

manifests=$(kubectl kustomize config/default)
installed=$(left_installed) || die "cannot ask the cluster what is installed, see above"
tests=$(left_tests) || die "cannot ask the cluster about load tests, see above"
if [[ -z $installed && -z $tests ]]; then
  say "there is nothing to remove from the cluster of context $context"
  exit 0
fi

# The operator goes first: no load test that is being deleted can then be started or get a new Job. Deleting the rest
# needs no operator: LoadTests have no finalizer, and the garbage collector removes the Jobs and pods that they own.
say "stopping the operator in the cluster of context $context"
k -n "$NAMESPACE" delete deployment "$DEPLOYMENT" --ignore-not-found --cascade=foreground --wait=false
gone "the operator's Deployment" left_operator

say "deleting all load tests and their workers"
crd=$(left_crd)
[[ -z $crd ]] || k delete "$CRD" --all --all-namespaces --wait=false
k delete jobs --all-namespaces -l "$JOBS" --wait=false # those that were orphaned; the others go by themselves
gone "load tests" left_tests

say "removing what was installed"
k delete -f - --ignore-not-found --wait=false <<<"$manifests"
gone "the installation" left_installed
say "the operator and all load tests are gone"
