#!/usr/bin/env bash
# Says what this machine lacks for the tests and the demo, with one install line. Exit code 0: nothing is missing; 1: something is.
#   doctor.sh [--control-plane]    the second form leaves out what only a real cluster needs (MODE=kwok)
set -uo pipefail
here=$(dirname "$(readlink -f "$0")")
kwok=; [ "${1:-}" != --control-plane ] || kwok=yes
packages=() problems=() notes=()

need() { # COMMAND PACKAGE...
  command -v "$1" > /dev/null && return
  packages+=("${@:2}")
}
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # WANTED HAVE

# ---- commands, by the package that brings them
need make make
need git git
need curl curl ca-certificates
need openssl openssl
need python3 python3
need setpriv util-linux
need flock util-linux
need jq jq
need cc gcc libc6-dev
if [ -z "$kwok" ]; then
  need unshare util-linux
  need nsenter util-linux
  need ip iproute2
  need pkg-config pkg-config
  if ! command -v apt-get > /dev/null || ! command -v dpkg > /dev/null; then problems+=("apt-get and dpkg: only Debian and Ubuntu are supported so far (packages are unpacked, not installed)"); fi
  # Static linking of the pause process.
  if command -v cc > /dev/null && ! echo 'int main(void){return 0;}' | cc -static -x c -o /dev/null - 2> /dev/null; then packages+=(libc6-dev); fi
fi
[ ! -s /etc/ssl/certs/ca-certificates.crt ] && packages+=(ca-certificates)

# ---- compilers
if ! command -v go > /dev/null; then
  problems+=("Go 1.26 or later is missing: see https://go.dev/doc/install")
else
  have=$(GOTOOLCHAIN=local go env GOVERSION); have=${have#go}
  at_least 1.26 "${have%% *}" || problems+=("Go 1.26 or later is needed, this is $have: see https://go.dev/doc/install")
fi
if ! command -v cargo > /dev/null; then
  problems+=("Rust is missing: see https://rustup.rs (the version comes from rust-toolchain.toml)")
elif ! command -v musl-gcc > /dev/null || ! rustup target list --installed 2> /dev/null | grep -q "$(uname -m)-unknown-linux-musl"; then
  notes+=("for a static image: apt-get install musl-tools, and rustup target add $(uname -m)-unknown-linux-musl (else the image holds the shared libraries, which works too)")
fi

# ---- disk: tools and their build cache, once; a little for each cluster
cache=${TRIMTAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/trimtab}
free_gb() { local d=$1; while [ ! -d "$d" ]; do d=$(dirname "$d"); done; df -Pk "$d" | awk 'NR == 2 { print int($4 / 1048576) }'; }
want=2; [ -d "$cache/tools" ] || want=12
[ "$(free_gb "$cache")" -ge $want ] || problems+=("$want GB of free disk under $cache, there are $(free_gb "$cache"); TRIMTAB_CACHE chooses another place")
[ "$(free_gb "${CLUSTER_STATE:-${TMPDIR:-/tmp}}")" -ge 2 ] || problems+=("2 GB of free disk under ${CLUSTER_STATE:-${TMPDIR:-/tmp}} for a cluster; CLUSTER_STATE chooses another place")

# ---- what a real cluster asks of the machine
if [ -z "$kwok" ]; then
  if [ "$(id -u)" != 0 ]; then
    problems+=("root: a real cluster needs namespaces and cgroups; without root MODE=kwok gives a control plane with simulated nodes")
  elif [ ${#packages[@]} = 0 ] && ! reason=$("$here/cluster.sh" check 2>&1); then
    problems+=("$reason; MODE=kwok gives a control plane with simulated nodes")
  fi
fi

if [ ${#packages[@]} -gt 0 ]; then
  # shellcheck disable=SC2207  # names without spaces
  packages=($(printf '%s\n' "${packages[@]}" | sort -u))
  echo "install with:  $([ "$(id -u)" = 0 ] || echo "sudo ")apt-get install ${packages[*]}"
fi
if [ ${#problems[@]} -gt 0 ]; then printf 'missing:  %s\n' "${problems[@]}"; fi
if [ ${#notes[@]} -gt 0 ]; then printf 'optional:  %s\n' "${notes[@]}"; fi
[ $((${#packages[@]} + ${#problems[@]})) = 0 ] || exit 1
echo "nothing is missing"
