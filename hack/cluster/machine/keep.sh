# shellcheck shell=bash
# keep.sh: what both inits (machine/control, machine/node) need beside ../common.sh (sourced by bash)

# keep NAME COMMAND...: run a program for ever, as systemd's Restart=always would, with a log of its own
keep() {
  local name=$1 code
  shift
  while :; do
    code=0
    "$@" >>"$LOGS/$MACHINE-$name.log" 2>&1 || code=$?
    echo "$(date -Is) $name exited: $code" >>"$LOGS/$MACHINE-exits.log"
    sleep 1
  done &
}

# plugged_in NAME: `up` moves the network links in from outside, once this process exists
plugged_in() { within 30 "the link $1 of $MACHINE" ip link show "$1"; }
