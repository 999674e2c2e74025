#!/usr/bin/env bash
# kubeconfig.sh NAMESPACE: prints KUBECONFIG_BASE64: a kubeconfig of the account in rbac.yaml, which was applied to that namespace, for the
# cluster of your current context.
set -euo pipefail
namespace=${1:?give the namespace that rbac.yaml was applied to}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
secret() { kubectl get secret github-actions --namespace "$namespace" -o "jsonpath={.data.$1}" | base64 -d; }
config() { kubectl config --kubeconfig "$work/kubeconfig" "$@" >/dev/null; }

kubectl wait --for=jsonpath='{.data.token}' secret/github-actions --namespace "$namespace" --timeout=30s >/dev/null # Kubernetes fills it
server=$(kubectl config view --minify -o 'jsonpath={.clusters[0].cluster.server}')
secret 'ca\.crt' >"$work/ca.crt"
token=$(secret token)
config set-cluster load-test --server "$server" --certificate-authority "$work/ca.crt" --embed-certs
config set-credentials github-actions --token "$token"
config set-context load-test --cluster load-test --user github-actions --namespace "$namespace"
config use-context load-test
base64 <"$work/kubeconfig" | tr -d '\n'
