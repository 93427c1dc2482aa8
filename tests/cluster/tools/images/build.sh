# The two images every cluster has: localhost/busybox:1 and localhost/pause:1.
mkdir "$OUT/images"
"${CC:-cc}" -Os -static -s -o "$OUT/pause" pause.c
python3 "$MKIMAGES" base "$OUT/images" "$DEBIAN"/root/*bin/busybox "$OUT/pause"
rm "$OUT/pause"
