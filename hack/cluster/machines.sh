# shellcheck shell=bash
# machines.sh: starting machines, plugging them together, and removing all of it (sourced by up, down and fault)

# start_machine NAME: its process tree, in its cgroup and namespaces, without anything of the caller's but some settings
start_machine() {
  local script=(machine/control)
  [ "$1" = control ] || script=(machine/node "$1")
  mkdir -p "$LOGS"
  (
    enter_cgroup "$1"
    for fd in /proc/self/fd/*; do
      [ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"
    done
    cd /
    # proxies and the like, in the caller's environment, would lead the kubelets astray
    exec env -i PATH="$PATH" HOME=/root ARTILLERY_OPERATOR_STATE="$STATE" ARTILLERY_OPERATOR_CACHE="$CACHE" \
      NODE_GRACE="${NODE_GRACE:-}" TOLERATION="${TOLERATION:-}" QPS="${QPS:-}" APISERVER_ARGS="${APISERVER_ARGS:-}" \
      setsid unshare --net --uts --pid --fork --kill-child --mount --propagation private --mount-proc \
      "$HERE/${script[0]}" "${script[@]:1}"
  ) </dev/null >>"$LOGS/$1-init.log" 2>&1 &
  within 10 "process 1 of $1" init_of "$1"
}

start_control() {
  start_machine control
  ip link add "$LINK" type veth peer name machine netns "$(init_of control)"
  echo 0 >"/proc/sys/net/ipv4/conf/$LINK/forwarding"       # whatever the machine forwards, it does not forward for pods
  if [ -e "/proc/sys/net/ipv6/conf/$LINK/disable_ipv6" ]; then echo 1 >"/proc/sys/net/ipv6/conf/$LINK/disable_ipv6"; fi
  ip address add "$HOST_IP/30" dev "$LINK"
  ip link set "$LINK" up
  local net
  for net in $NODE_NET $POD_NET $SERVICE_NET; do ip route add "$net" via "$CONTROL_IP"; done
  within 30 "the network of control" in_net control ip link show nodes up
}

# start_node NAME: also after its power was cut; what it kept on disk is still there
start_node() {
  remove_cgroup "$1"       # a dead container's cgroup costs 3 seconds each when the kubelet starts
  start_machine "$1"
  within 10 "the old link of $1 to go" unplugged "$1"
  in_net control ip link add "$1" type veth peer name eth0 netns "$(init_of "$1")"
  in_net control ip link set "$1" master nodes up
}
unplugged() { ! in_net control ip link show "$1"; }

# renewed_since NODE TIME: its kubelet lives (after a restart the Node still says Ready from before); TIME as
# `date -u +%FT%T.%6N`
renewed_since() {
  local renewed
  renewed=$(kubectl --request-timeout=5s -n kube-node-lease get lease "$1" -o jsonpath='{.spec.renewTime}' 2>/dev/null)
  [[ $renewed > $2 ]]
}
ready() { # ready NODE
  [ "$(kubectl --request-timeout=5s get node "$1" -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null)" = True ]
}

# kill_all: like pulling the plug. With its init the kernel kills the whole PID namespace; mounts and network follow
kill_all() {
  local until=$((SECONDS + 20)) machine pid pids dying=()
  while pids=$(our_processes | grep -vx $$); do
    in_time() { [ $SECONDS -lt $until ] || die "these processes do not die: $*"; }
    in_time "$(tr '\n' ' ' <<<"$pids")"
    for machine in "${MACHINES[@]}"; do
      if pid=$(init_of "$machine"); then kill -KILL "$pid" 2>/dev/null || true; fi
    done
    for pid in $pids; do
      dying+=("$pid")
      kill -KILL "$pid" 2>/dev/null || true
    done
    sleep 0.05
  done
  # an init leaves its cgroup first, and the machine only when all in its namespace are dead
  for pid in "${dying[@]}"; do
    while readlink "/proc/$pid/ns/pid" >/dev/null; do in_time "$pid"; sleep 0.05; done
  done
}

off() { # off NODE: nothing of it runs any more
  local hierarchy
  hierarchy=$(listing_hierarchy)
  [ -z "$(find "$hierarchy/$TREE/$1" -name cgroup.procs -exec cat {} + 2>/dev/null)" ]
}

# remove_cgroup [MACHINE]
remove_cgroup() {
  local hierarchy folder
  for hierarchy in $(hierarchies); do
    folder=$hierarchy/$TREE${1:+/$1}
    for _ in {1..50}; do                                   # a dying process leaves its cgroup a moment after it is gone
      [ -d "$folder" ] || break
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
    done
    [ ! -d "$folder" ] || die "cannot remove the cgroup $folder"
  done
}

# The state folder is recognised by a file in it, so that a mistyped ARTILLERY_OPERATOR_STATE costs nobody their files
MARK=$STATE/made-by-hack-cluster
make_state() {
  mkdir -p "$STATE"
  chmod 700 "$STATE"
  touch "$MARK"
}
is_ours_or_empty() { [ ! -e "$STATE" ] || [ -e "$MARK" ] || [ -z "$(ls -A "$STATE")" ]; }

# Folders that the nodes mount something over, in their own mount namespaces, must exist in the machine's own tree
make_mount_points() {
  local folder made path
  for folder in "${MOUNT_POINTS[@]}"; do
    made=()
    path=$folder
    while [ ! -d "$path" ]; do made+=("$path"); path=${path%/*}; done
    [ ${#made[@]} = 0 ] || printf '%s\n' "${made[@]}" >>"$STATE/made-folders"      # before it is true: `up` may be killed here
    mkdir -p "$folder"
  done
}

# teardown: remove whatever a cluster, or a part of one, has left on this machine; the caller holds the lock
teardown() {
  is_ours_or_empty || die "$STATE is not empty and not made by this script: refusing to touch it (see ARTILLERY_OPERATOR_STATE)"
  kill_all
  remove_cgroup
  ip link delete "$LINK" 2>/dev/null || true               # gone with the network namespace at its other end, or soon
  if [ -e "$STATE/made-folders" ]; then
    xargs -r rmdir --ignore-fail-on-non-empty <"$STATE/made-folders" 2>/dev/null || true
  fi
  rm -rf --one-file-system "$STATE"
}
