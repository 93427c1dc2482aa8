#!/usr/bin/env bash
# Builds the tools of the test cluster, each family once per content of its folder under tools/.
#
#   build.sh [FAMILY...]     build what is missing (default: every family); prints the folder with the tools on stdout
#   build.sh --list          the families
#   build.sh --path          the folder, without building
#   build.sh --prune         remove tools of other versions from the cache
#
# A family is a folder tools/FAMILY: go.mod and go.sum pin what is built, build.sh says how. The key of a family is a hash of
# these files, so a change of one family does not rebuild the rest. Nothing is installed on the machine: Debian packages are unpacked.
# The cache: ${TRIMTAB_CACHE:-${XDG_CACHE_HOME:-~/.cache}/trimtab}, with tools/FAMILY-KEY and, of links to them, cluster-KEY/{bin,libexec,images,share}.
set -euo pipefail
HERE=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
CACHE=${TRIMTAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trimtab}
# In the order in which they are wanted: the cluster first.
FAMILIES=(debian images kubernetes containerd runc cni coredns prometheus alertmanager helm amtool kwok kubeconform postgres crds)

# What else a family's content depends on.
inputs() {
  case $1 in
    images | postgres) echo "$HERE/mkimages.py"; key debian ;;
    runc) key debian ;;
  esac
}
key() { # FAMILY
  # Names and contents; the machine too, because a home directory may be shared.
  (set -e; cd "$HERE/tools/$1"; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; uname -m
    for i in $(inputs "$1"); do if [ -f "$i" ]; then sha256sum < "$i"; else echo "$i"; fi; done) | sha256sum | cut -c1-16
}

declare -A dirs
for family in "${FAMILIES[@]}"; do
  k=$(key "$family")
  dirs[$family]=$CACHE/tools/$family-$k
done
dir() { echo "${dirs[$1]}"; }
CLUSTER=$CACHE/cluster-$(for family in "${FAMILIES[@]}"; do dir "$family"; done | sed 's#.*/##' | sha256sum | cut -c1-16)

build() { # FAMILY
  local family=$1 out tmp log start
  out=$(dir "$family") log=$CACHE/log/$1.log start=$SECONDS
  [ ! -d "$out" ] || return 0
  tmp=$CACHE/tools/.$family.$$
  rm -rf "$tmp"; mkdir -p "$tmp"/{bin,libexec} "$CACHE/log"
  echo "cluster tools: building $family (log: $log)" >&2
  if (cd "$HERE/tools/$family" && env -u GOFIPS140 -u GOEXPERIMENT GOFLAGS="-buildvcs=false -trimpath" GOTOOLCHAIN=local GOWORK=off CGO_ENABLED="${CGO_ENABLED:-1}" \
      OUT="$tmp" DEBIAN="$(dir debian)" MKIMAGES="$HERE/mkimages.py" bash -euo pipefail ./build.sh) > "$log" 2>&1; then
    mv "$tmp" "$out"
    echo "cluster tools: $family built in $((SECONDS - start)) s" >&2
  else
    tail -n 15 "$log" >&2
    rm -rf "$tmp"
    echo "cluster tools: building $family failed; see $log, and tests/cluster/doctor.sh for what this machine may lack" >&2
    exit 1
  fi
}
link() { # FAMILY: relative links, so that the cache can be moved
  local from kind f
  from=$(dir "$1")
  [ "$(readlink "$CLUSTER/.families/$1" 2> /dev/null)" != "../../tools/$(basename "$from")" ] || return 0
  mkdir -p "$CLUSTER/.families"
  for kind in bin libexec images share; do
    for f in "$from/$kind"/*; do
      [ -e "$f" ] || continue
      mkdir -p "$CLUSTER/$kind"
      ln -sfn "../../tools/$(basename "$from")/$kind/$(basename "$f")" "$CLUSTER/$kind/$(basename "$f")"
    done
  done
  ln -sfn "../../tools/$(basename "$from")" "$CLUSTER/.families/$1"
}
prune() {
  local d family keep=" "
  for family in "${FAMILIES[@]}"; do keep+="$(dir "$family") "; done
  for d in "$CACHE"/tools/* "$CACHE"/cluster-*; do
    [ -d "$d" ] || continue
    case "$keep$CLUSTER " in *" $d "*) ;; *) rm -rf "$d"; echo "removed $d" ;; esac
  done
}

case "${1:-}" in
  --list) printf '%s\n' "${FAMILIES[@]}"; exit ;;
  --path) echo "$CLUSTER"; exit ;;
  --prune) prune; exit ;;
  -*) sed -n '2,/^set -e/p' "$0" | sed -n 's/^# \{0,1\}//p' >&2; exit 2 ;;
esac
[ $# -gt 0 ] || set -- "${FAMILIES[@]}"
wanted=()
for family in "$@"; do
  case " ${FAMILIES[*]} " in *" $family "*) ;; *) echo "cluster tools: no family \"$family\"; there are: ${FAMILIES[*]}" >&2; exit 2 ;; esac
  case $family in images | postgres | runc) wanted+=(debian) ;; esac
  wanted+=("$family")
done
missing=
for family in "${wanted[@]}"; do [ -e "$CLUSTER/.families/$family/" ] || missing=1; done
# What an older combination had already built is linked along with it.
for family in "${FAMILIES[@]}"; do [ -e "$CLUSTER/.families/$family/" ] || [ ! -d "$(dir "$family")" ] || missing=1; done
if [ -n "$missing" ]; then
  mkdir -p "$CACHE"
  exec 9> "$CACHE/lock"
  flock 9                     # two builds at once would do the same work twice
  for family in "${wanted[@]}"; do build "$family"; done
  for family in "${FAMILIES[@]}"; do [ ! -d "$(dir "$family")" ] || link "$family"; done
fi
echo "$CLUSTER"
