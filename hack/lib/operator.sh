# shellcheck shell=bash
# What operator-deploy.sh and operator-undeploy.sh share; sourced by them, with the repository as working directory.

# shellcheck disable=SC2034 # used by those who source this
NAMESPACE=artillery-operator-system DEPLOYMENT=artillery-operator-controller-manager
# shellcheck disable=SC2034
MANAGER_LABEL=control-plane=controller-manager
# shellcheck disable=SC2034
LEASE=84f84c74.artillery.io
OLDEST_MINOR=29 # of Kubernetes 1.x

say() { printf '>> %s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Every request is bounded, so that no script hangs on a dead API server.
k() { kubectl --request-timeout=20s "$@"; }

seconds() { # seconds NAME VALUE: refuses what is no positive whole number
  [[ $2 =~ ^[1-9][0-9]{0,5}$ ]] || die "$1 is \"$2\": give a whole number of seconds, at least 1"
}

# Refuses early, before anything is changed.
check_cluster() {
  command -v kubectl >/dev/null || die "kubectl is missing: install it, see https://kubernetes.io/docs/tasks/tools"
  context=$(kubectl config current-context 2>/dev/null) || context="(none set)"
  version=$(k get --raw /version 2>&1) ||
    die "the cluster of context $context cannot be reached; check KUBECONFIG and kubectl cluster-info. kubectl says: $version"
}

check_version() { # after check_cluster
  local major minor
  major=$(sed -nE 's/.*"major": *"([0-9]+).*/\1/p' <<<"$version")
  minor=$(sed -nE 's/.*"minor": *"([0-9]+).*/\1/p' <<<"$version")
  [[ $major && $minor ]] || die "the cluster of context $context does not tell its version: $version"
  ((major > 1 || minor >= OLDEST_MINOR)) ||
    die "the cluster of context $context runs Kubernetes $major.$minor: the operator needs 1.$OLDEST_MINOR or newer"
}
