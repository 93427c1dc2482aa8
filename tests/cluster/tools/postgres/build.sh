# shellcheck shell=bash disable=SC2164  # run with -e
# localhost/postgres:1, a real PostgreSQL for tests that count connections: Debian's packages, unpacked, in an image of their own.
# Takes the release's version. The server trusts everybody who reaches it; arguments of the container go to `postgres`.
closure() { # what apt would install, without what a bare server never loads
  LC_ALL=C apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$1" |
    grep '^[a-z0-9]' | grep -E '^(lib|postgresql-(client-)?[0-9]+$|tzdata$|zlib1g$)' | grep -vE '^lib(llvm|perl|python|clang)' | sort -u
}
version() { LC_ALL=C apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p'; }
[ -n "$(version)" ] || apt-get -qq update
v=$(version)
root=$OUT/root
mkdir "$root" "$OUT/deb" "$OUT/share"
cd "$OUT/deb"
download() { closure "postgresql-$v" | xargs apt-get -qq download -o APT::Sandbox::User=root; }
if ! download; then apt-get -qq update; download; fi
for package in *.deb; do dpkg -x "$package" "$root"; done

bin=usr/lib/postgresql/$v/bin lib=usr/lib/postgresql/$v/lib arch=$(uname -m)-linux-gnu
rm -rf "$root/$lib/bitcode" "$root/$lib"/llvmjit*
files=("$root/$lib:/$lib" "$root/usr/share/postgresql/$v:/usr/share/postgresql/$v" "$root/usr/share/zoneinfo:/usr/share/zoneinfo")
for program in postgres initdb psql pg_isready pg_ctl pgbench; do files+=("$root/$bin/$program:/$bin/$program"); done
# The libraries that the programs and the modules of the server ask for, from the packages, not from this machine.
while read -r library; do
  from=$(find "$root" -name "$library" | head -n 1)
  [ -n "$from" ] || { echo "no package brought \"$library\""; exit 1; }
  files+=("$(readlink -f "$from"):/usr/lib/$arch/$library")
done < <(LD_LIBRARY_PATH=$root/usr/lib/$arch:$root/lib/$arch ldd "$root/$bin"/* "$root/$lib"/*.so 2> /dev/null |
  awk '$2 == "=>" && $1 !~ /^linux-vdso|^lib(llvm|LLVM|perl|python)/ { print $1 }' | sort -u)
loader=$(LC_ALL=C ldd "$root/$bin/postgres" | awk '$1 ~ /^\/lib.*\/ld-linux/ { print $1 }')
files+=("$(readlink -f "$(find "$root" -name "$(basename "$loader")" | head -n 1)"):$loader")

cat > "$OUT/start" <<K
#!/bin/sh
# The first start makes the database; the data live in PGDATA.
set -e
PATH=/$bin:/bin
[ -e "\$PGDATA/PG_VERSION" ] || {
  initdb --username=postgres --auth=trust --no-sync --locale=C --encoding=UTF8 > /dev/null
  echo 'host all all all trust' >> "\$PGDATA/pg_hba.conf"
}
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp "\$@"
K
chmod +x "$OUT/start"
printf 'root:x:0:0::/:/bin/sh\npostgres:x:65532:65532::/tmp:/bin/sh\n' > "$OUT/passwd"
python3 "$MKIMAGES" one --user 65532:65532 --env PGDATA=/tmp/data --env PGHOST=/tmp --env PGUSER=postgres --env "PATH=/$bin:/bin" \
  "$OUT/share/postgres.tar" localhost/postgres:1 /start \
  "$OUT/start:/start" "$OUT/passwd:/etc/passwd" "$DEBIAN"/root/bin/busybox:/bin/sh "${files[@]}"
rm -rf "$OUT/root" "$OUT/deb" "$OUT/start" "$OUT/passwd"
