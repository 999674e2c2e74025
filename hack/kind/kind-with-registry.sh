#!/usr/bin/env bash
# A cluster on kind (one control plane, two workers) and an image registry that it pulls from, kind-registry:5000.
# May be run again: what is there is kept. To remove it: kind delete cluster; docker rm -f kind-registry
set -euo pipefail

REGISTRY=kind-registry PORT=5000 CLUSTER=kind
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

command -v docker >/dev/null || die "docker is missing: https://docs.docker.com/get-docker"
command -v kind >/dev/null || die "kind is missing: https://kind.sigs.k8s.io/docs/user/quick-start#installation"
command -v kubectl >/dev/null || die "kubectl is missing: https://kubernetes.io/docs/tasks/tools"
docker info >/dev/null || die "docker does not answer: start it, and see docker info"

case $(docker container inspect -f '{{.State.Running}}' "$REGISTRY" 2>/dev/null || echo missing) in
  true) ;;
  false) docker start "$REGISTRY" >/dev/null ;;
  *) docker run -d --restart=always -p "127.0.0.1:$PORT:5000" --name "$REGISTRY" registry:3 >/dev/null ;;
esac

clusters=$(kind get clusters 2>/dev/null)
if ! grep -qx "$CLUSTER" <<<"$clusters"; then
  # config_path is set by kind's images since 0.27; the patch helps older ones
  kind create cluster --name "$CLUSTER" --config - <<YAML
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
  - role: worker
  - role: worker
containerdConfigPatches:
  - |-
    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = "/etc/containerd/certs.d"
YAML
fi

# containerd: images of either name come from the registry's container, over plain HTTP
nodes=$(kind get nodes --name "$CLUSTER")
for node in $nodes; do
  for host in "$REGISTRY:$PORT" "localhost:$PORT"; do
    docker exec -i "$node" sh -c 'mkdir -p "$0" && cat > "$0/hosts.toml"' "/etc/containerd/certs.d/$host" \
      <<<"[host.\"http://$REGISTRY:5000\"]"
  done
done
if [[ $(docker container inspect -f '{{json .NetworkSettings.Networks.kind}}' "$REGISTRY") == null ]]; then
  docker network connect kind "$REGISTRY"
fi

# tells tools (Tilt and others) about the registry: the convention of KEP-1755
kubectl --context "kind-$CLUSTER" apply -f - <<YAML
apiVersion: v1
kind: ConfigMap
metadata:
  name: local-registry-hosting
  namespace: kube-public
data:
  localRegistryHosting.v1: |
    host: "localhost:$PORT"
    hostFromClusterNetwork: "$REGISTRY:5000"
    help: "https://kind.sigs.k8s.io/docs/user/local-registry/"
YAML

cat <<TEXT

The cluster runs; kubectl's context is kind-$CLUSTER. To try a build of your own in it:
  make docker-build docker-push deploy IMG=localhost:$PORT/artillery-operator:dev
To use $REGISTRY:$PORT/... instead, put "127.0.0.1 $REGISTRY" in /etc/hosts.
TEXT
