# runc, static, with seccomp: the library comes from the unpacked Debian packages.
arch=$(uname -m)-linux-gnu
lib=$DEBIAN/root/usr/lib/$arch
# The packages' own .pc files name /usr; nothing but these flags is needed from them.
CGO_ENABLED=1 PKG_CONFIG_PATH=$lib/pkgconfig CGO_CFLAGS="-I$DEBIAN/root/usr/include" CGO_LDFLAGS="-L$lib" \
  go build -tags 'seccomp netgo osusergo' -ldflags "-s -w -linkmode external -extldflags '-static -L$lib'" \
  -o "$OUT/libexec/runc" github.com/opencontainers/runc
