# shellcheck shell=bash disable=SC2164  # run with -e
# Debian packages, unpacked, never installed: busybox for the test image, libseccomp for runc, nft for kube-proxy.
command -v apt-get > /dev/null && command -v dpkg > /dev/null || { echo "apt-get and dpkg are needed: only Debian and Ubuntu are supported so far"; exit 1; }
packages=(busybox-static libseccomp-dev libseccomp2 nftables libnftables1 libnftnl11 libmnl0 libjansson4 libedit2 libgmp10 libxtables12 libbsd0 libmd0)
mkdir "$OUT/root" "$OUT/deb"
cd "$OUT/deb"
download() { apt-get -qq download -o APT::Sandbox::User=root "${packages[@]}"; }
# A fresh machine has no package lists, or lists that name versions which are gone.
if ! download; then
  apt-get -qq update
  download
fi
for package in *.deb; do dpkg -x "$package" "$OUT/root"; done
rm -rf "$OUT/deb"
cat > "$OUT/libexec/nft" <<'K'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../root
for dir in "$root"/usr/lib/*-linux-gnu "$root"/lib/*-linux-gnu; do LD_LIBRARY_PATH=$dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done
export LD_LIBRARY_PATH
exec "$root/usr/sbin/nft" "$@"
K
chmod +x "$OUT/libexec/nft"
"$OUT/libexec/nft" --version
