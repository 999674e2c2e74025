# shellcheck shell=bash
# npm.sh: the trees of npm packages that tests and test images are made of, each installed once (sourced by bash).

NPM_CACHE=${ARTILLERY_OPERATOR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/artillery-operator}/npm

# npm_install TREE COMMAND...: make the folder TREE by running COMMAND, with more of npm's options, in a new folder; unless it
# is there. Two at once wait for each other, and one that fails or is killed leaves nothing that looks complete.
npm_install() (
  tree=$1
  shift
  [ ! -d "$tree" ] || exit 0
  mkdir -p "$NPM_CACHE" && exec 7<"$NPM_CACHE" || exit 1
  flock -w 1800 7 || { echo "${0##*/}: another npm install does not end" >&2; exit 1; }
  [ ! -d "$tree" ] || exit 0
  rm -rf "$NPM_CACHE"/work.*                 # of one that was killed
  work=$(mktemp -d "$NPM_CACHE/work.XXXXXX") || exit 1
  trap 'rm -rf "$work"' EXIT
  export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1
  cd "$work" && "$@" --ignore-scripts --no-audit --no-fund --loglevel=error >&2 && chmod 755 "$work" && mv "$work" "$tree"
)

# npm_tree FOLDER: print the folder whose node_modules is what FOLDER's package-lock.json says, installed the first time
npm_tree() {
  local tree
  tree=$NPM_CACHE/$(cat "$1"/package{,-lock}.json <(uname -m) | sha256sum | cut -c1-16)
  [ -d "$tree" ] || echo "npm packages of ${1##*/} (the first time only: about a minute)" >&2
  npm_install "$tree" npm_from_lock "$1" && echo "$tree"
}
npm_from_lock() { cp "$1"/package{,-lock}.json . && npm ci "${@:2}"; }

# node_of TREE: the Node.js among a tree's packages
node_of() { echo "$1"/node_modules/node-linux-*/bin/node; }
