# shellcheck shell=bash
# common.sh: names, addresses and the few functions that every script of this folder shares (sourced by bash).
# A "machine" is one process tree: a bash that is process 1 of its own PID, mount, network and UTS namespaces, with all its
# descendants in a cgroup of the same name. Three of them make the cluster: control, node-1 and node-2.
# shellcheck disable=SC2034  # used by those who source this

HERE=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
STATE=${ARTILLERY_OPERATOR_STATE:-/var/lib/artillery-operator-cluster}
CACHE=${ARTILLERY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/artillery-operator}
LOGS=$STATE/log
PKI=$STATE/pki
ADMIN=$STATE/admin.kubeconfig
LOCKED=/var/lib                        # the folder whose lock says "I am changing the cluster": it outlives every cluster

NODES=(node-1 node-2)
MACHINES=(control "${NODES[@]}")
TREE=artillery-operator-cluster        # the cgroup above all machines

LINK=artillery0                        # the machine's end of the link to the control plane
HOST_IP=10.200.255.1                   # where pods reach a process of the machine itself
CONTROL_IP=10.200.255.2
API_IP=10.200.0.1                      # on the bridge inside the control plane, where the nodes are plugged in
API=https://$API_IP:6443
REGISTRY=$API_IP:5000
LINK_NET=10.200.255.0/30
NODE_NET=10.200.0.0/24
POD_NET=10.201.0.0/16
SERVICE_NET=10.202.0.0/16
DNS_IP=10.202.0.10
node_ip() { echo "10.200.0.1${1#node-}"; }
pods_of() { echo "10.201.${1#node-}.0/24"; }

MOUNT_POINTS=(/etc/cni/net.d /etc/containerd /var/lib/cni /var/lib/containerd /var/lib/kubelet)

BEGAN=${EPOCHREALTIME/[.,]/}              # in microseconds
say() {
  local ms=$(((${EPOCHREALTIME/[.,]/} - BEGAN) / 1000))
  printf '%5d.%d s  %s\n' $((ms / 1000)) $((ms % 1000 / 100)) "$*"
}
die() { echo "hack/cluster/${0##*/}: $*" >&2; exit 1; }

# within SECONDS WHAT COMMAND...: poll until COMMAND succeeds, or give up and name the logs
within() {
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $until ] || die "gave up waiting for $what (logs: $LOGS)"
    sleep 0.1
  done
}

# with_lock COMMAND...: run it while holding the machine-wide lock; a second caller waits. What COMMAND starts in the
# background must close descriptor 9, lest it hold the lock when this shell is gone.
with_lock() {
  exec 9<"$LOCKED"
  flock -n 9 || { echo "waiting for another up or down to end" >&2; flock -w 1800 9 || die "the other up or down does not end"; }
  "$@"
  exec 9<&-
}

# store_blobs FOLDER: link an image's blobs into the registry's store. The registry takes them from there; one that was pushed
# would stay in its memory.
store_blobs() {
  local blob stored
  mkdir -p "$STATE/registry/sha256"
  for blob in "$1"/layout/blobs/sha256/*; do
    stored=$STATE/registry/sha256/${blob##*/}
    [ -e "$stored" ] || ln "$blob" "$stored" 2>/dev/null || { cp "$blob" "$stored.part" && mv "$stored.part" "$stored"; }
  done
}

# --- cgroups: how the processes of a machine are found -----------------------------------------------------------------

cgroup_v2() { [ -f /sys/fs/cgroup/cgroup.controllers ]; }
hierarchies() { if cgroup_v2; then echo /sys/fs/cgroup; else printf '%s\n' /sys/fs/cgroup/*/ | sed 's,/$,,'; fi; }
listing_hierarchy() { if cgroup_v2; then echo /sys/fs/cgroup; else echo /sys/fs/cgroup/pids; fi; }
# where a machine's own processes are: cgroup v2 wants them in a leaf, and nodes have pods beside them
own_cgroup() { case $1 in node-*) if cgroup_v2; then echo "$1/system"; else echo "$1"; fi ;; *) echo "$1" ;; esac; }

# enter_cgroup NAME: move the calling (sub)shell, and so all that it starts, into the cgroup of a machine
enter_cgroup() {
  local hierarchy folder step file
  for hierarchy in $(hierarchies); do
    folder=$hierarchy
    for step in "$TREE" $(own_cgroup "$1" | tr / ' '); do
      if cgroup_v2; then delegate "$folder"; fi
      mkdir -p "$folder/$step"
      for file in cpuset.cpus cpuset.mems; do          # v1: empty until filled in, and then nothing may enter
        if ! cgroup_v2 && [ -f "$folder/$file" ]; then cat "$folder/$file" >"$folder/$step/$file"; fi
      done
      folder+=/$step
    done
    echo "$BASHPID" >"$folder/cgroup.procs"
  done
}

# delegate FOLDER: let the children of a v2 cgroup have the controllers that a kubelet needs
delegate() {
  local controller
  for controller in cpuset cpu io memory pids hugetlb; do
    if grep -qw $controller "$1/cgroup.controllers" && ! grep -qw $controller "$1/cgroup.subtree_control"; then
      echo +$controller >"$1/cgroup.subtree_control"
    fi
  done
}

# our_processes: every process in the cgroups of the machines, pods included
our_processes() {
  local hierarchy
  for hierarchy in $(hierarchies); do
    find "$hierarchy/$TREE" -name cgroup.procs -exec cat {} + 2>/dev/null || true
  done | sort -nu
}

# init_of NAME: process 1 of a machine, as seen from here: the one that has exactly two PIDs, its inner one being 1
init_of() {
  local pid pids
  while read -r pid; do
    pids=$(sed -n 's/^NSpid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) || continue
    [[ $pids =~ ^[0-9]+[[:space:]]+1$ ]] && { echo "$pid"; return 0; }
  done < <(cat "$(listing_hierarchy)/$TREE/$(own_cgroup "$1")/cgroup.procs" 2>/dev/null)
  return 1
}

# in_net NAME COMMAND...: run a command in the network namespace of a machine
in_net() {
  local init
  init=$(init_of "$1") || die "$1 is not running"
  shift
  nsenter --target "$init" --net "$@"
}

# program_of NAME PROGRAM: the PIDs of a program that the init of a machine keeps running
program_of() {
  local pid
  while read -r pid; do
    [ "$(basename "$(readlink "/proc/$pid/exe")" 2>/dev/null)" = "$2" ] && echo "$pid"
  done < <(cat "$(listing_hierarchy)/$TREE/$(own_cgroup "$1")/cgroup.procs" 2>/dev/null)
  return 0
}
