#!/usr/bin/env bash
# Builds a container image of one of our programs as an OCI archive, without Docker: target/image/NAME.tar, localhost/NAME:VERSION.
#   image.sh [NAME]            a binary of the package (default: trimtab)
#   image.sh --example NAME    an example of the package
# Environment: PROFILE=release|dev (dev: quick), REF (another name of the image), BINARY (take this file, build nothing), OUT (archive), EXTRA (further files, FILE:PATH separated by blanks),
#              LINK=static|dynamic (default: static for a release where the musl target is installed; dynamic for dev,
#              because it shares the build of the tests)
# The layout is the one of the Dockerfile: /NAME, CA certificates, user 65532.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
what=(--bin) folder=
if [ "${1:-}" = --example ]; then what=(--example) folder=examples/; shift; fi
name=${1:-trimtab}
profile=${PROFILE:-release}
case $profile in
  release) built=release ;;
  dev) built=debug ;;
  *) echo "PROFILE=\"$profile\" is none of release, dev" >&2; exit 2 ;;
esac
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
ref=${REF:-localhost/$name:$version}
out=${OUT:-target/image/$name.tar}
musl=$(uname -m)-unknown-linux-musl

link=${LINK:-}
if [ -z "$link" ]; then
  # Without rustup the sysroot tells whether the target is there.
  if [ "$profile" = release ] && [ -d "$(rustc --print sysroot)/lib/rustlib/$musl" ]; then link=static; else link=dynamic; fi
fi

binary=${BINARY:-}
if [ -z "$binary" ]; then
  target=${CARGO_TARGET_DIR:-target}
  if [ "$link" = static ]; then
    # Some crates hold C code. musl-gcc is right for it; a plain gcc does as well, because that code calls nothing of glibc
    # once its fortified functions, which musl lacks, are off.
    compiler=CC_${musl//-/_} flags=CFLAGS_${musl//-/_}
    if [ -z "${!compiler:-}" ]; then
      if command -v musl-gcc > /dev/null; then export "$compiler=musl-gcc"; else export "$compiler=gcc" "$flags=-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=0"; fi
    fi
    cargo build --quiet --profile "$profile" --target "$musl" "${what[@]}" "$name"
    binary=$target/$musl/$built/$folder$name
  else
    cargo build --quiet --profile "$profile" "${what[@]}" "$name"
    binary=$target/$built/$folder$name
  fi
fi
[ -x "$binary" ] || { echo "there is no program at \"$binary\"" >&2; exit 1; }

mkdir -p "$(dirname "$out")"
program=$binary
if [ "$profile" = dev ] && command -v strip > /dev/null; then
  program=$out.program                      # symbols are two thirds of a dev build, and every node unpacks them
  strip --strip-debug -o "$program" "$binary"
fi
files=("$program:/$name")
read -ra extra <<< "${EXTRA:-}"
# Shared libraries, under the names by which the program asks for them; none for a static one.
while read -r library; do files+=("$(readlink -f "$library"):$library"); done < <(ldd "$binary" 2> /dev/null | grep -o '/[^ ]*')
certificates=/etc/ssl/certs/ca-certificates.crt
if [ -s $certificates ]; then files+=("$certificates:$certificates"); else echo "warning: no CA certificates on this machine, so none in the image; install ca-certificates" >&2; fi

"$here/mkimages.py" one --user 65532:65532 --label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.title=$name" \
  "$out" "$ref" "/$name" "${files[@]}" "${extra[@]}"
[ "$program" = "$binary" ] || rm -f "$program"
cat <<K
$out: $ref, $(($(stat -c %s "$out") / 1024)) KiB, $([ ${#files[@]} -le 2 ] && echo static || echo "with $((${#files[@]} - 2)) shared libraries"), profile $profile
  this project's cluster    tests/cluster/cluster.sh image $out
  a node with containerd    ctr -n k8s.io images import $out
  kind                      kind load image-archive $out
  Docker                    docker load -i $out
  a registry                skopeo copy oci-archive:$out docker://REGISTRY/$name:$version
K
