#!/usr/bin/env python3
"""Writes container images as OCI archives, byte for byte the same from the same files. No registry is involved.

mkimages.py base OUTDIR BUSYBOX PAUSE
    localhost/busybox:1 and localhost/pause:1, which every test cluster has
mkimages.py one [--user UID] [--label KEY=VALUE]... [--env KEY=VALUE]... OUT.tar REF ENTRYPOINT SRC:DST...
    an image that holds just these files; SRC may be a directory; modes are kept, owners are root
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
OCI = "application/vnd.oci.image."
COMMON_DIRS = [("bin", 0o755), ("etc", 0o755), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("var", 0o755), ("tmp", 0o1777)]


class Tree:
    """An image layer being put together: parents are made, times are zero, owners are root."""

    def __init__(self):
        self.buffer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.buffer, mode="w", format=tarfile.PAX_FORMAT)
        self.dirs = set()

    def _add(self, name, kind, mode, data=b"", target=""):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.linkname, info.size = kind, mode, target, len(data)
        self.tar.addfile(info, io.BytesIO(data))

    def dir(self, name, mode=0o755):
        name = name.strip("/")
        if name and name not in self.dirs:
            self.dir(os.path.dirname(name))
            self.dirs.add(name)
            self._add(name, tarfile.DIRTYPE, mode)

    def file(self, name, data, mode=0o644):
        self.dir(os.path.dirname(name.strip("/")))
        self._add(name.strip("/"), tarfile.REGTYPE, mode, data)

    def link(self, name, target):
        self.dir(os.path.dirname(name.strip("/")))
        self._add(name.strip("/"), tarfile.SYMTYPE, 0o777, target=target)

    def copy(self, source, destination):
        if not os.path.isdir(source):
            self.file(destination, read(source), os.stat(source).st_mode & 0o777)
            return
        for folder, dirs, files in os.walk(source):
            dirs.sort()
            inside = os.path.normpath(os.path.join(destination, os.path.relpath(folder, source)))
            self.dir(inside, os.stat(folder).st_mode & 0o777)
            for name in sorted(files):
                path = os.path.join(folder, name)
                if os.path.islink(path):
                    self.link(os.path.join(inside, name), os.readlink(path))
                else:
                    self.copy(path, os.path.join(inside, name))

    def bytes(self):
        self.tar.close()
        return self.buffer.getvalue()


def read(path):
    with open(path, "rb") as file:
        return file.read()


def digest(data):
    return hashlib.sha256(data).hexdigest()


def write_image(path, ref, layer, config, compress=False):
    """One layer, one platform; also readable by `docker load`, which wants manifest.json."""
    blobs = {}

    def put(data, media_type):
        blobs[digest(data)] = data
        return {"mediaType": OCI + media_type, "digest": "sha256:" + digest(data), "size": len(data)}

    packed = gzip.compress(layer, 6, mtime=0) if compress else layer
    layer_descriptor = put(packed, "layer.v1.tar" + ("+gzip" if compress else ""))
    config_descriptor = put(as_json({
        "architecture": ARCHITECTURE, "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(layer)]}}), "config.v1+json")
    manifest = put(as_json({"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json",
                            "config": config_descriptor, "layers": [layer_descriptor]}), "manifest.v1+json")
    manifest["annotations"] = {"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref.rsplit(":", 1)[1]}
    manifest["platform"] = {"architecture": ARCHITECTURE, "os": "linux"}

    def blob_path(descriptor):
        return "blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")

    archive = Tree()
    archive.file("oci-layout", as_json({"imageLayoutVersion": "1.0.0"}))
    archive.file("index.json", as_json({"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [manifest]}))
    archive.file("manifest.json", as_json([{"Config": blob_path(config_descriptor), "RepoTags": [ref], "Layers": [blob_path(layer_descriptor)]}]))
    for name, data in blobs.items():
        archive.file("blobs/sha256/" + name, data)
    with open(path + ".new", "wb") as out:
        out.write(archive.bytes())
    os.rename(path + ".new", path)


def as_json(value):
    return json.dumps(value, separators=(",", ":")).encode()


def new_root():
    tree = Tree()
    for name, mode in COMMON_DIRS:
        tree.dir(name, mode)
    return tree


def base_images(args):
    applets = subprocess.check_output([args.busybox, "--list"], text=True).split()
    root = new_root()
    root.dir("www")
    root.dir("root")
    root.file("bin/busybox", read(args.busybox), 0o755)
    root.file("etc/passwd", b"root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    root.file("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    for applet in applets:
        if applet != "busybox":
            root.link("bin/" + applet, "busybox")
    write_image(os.path.join(args.outdir, "busybox.tar"), "localhost/busybox:1", root.bytes(), {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    root = Tree()
    root.file("pause", read(args.pause), 0o755)
    write_image(os.path.join(args.outdir, "pause.tar"), "localhost/pause:1", root.bytes(), {"Entrypoint": ["/pause"]})


def one_image(args):
    root = new_root()
    for pair in args.files:
        source, _, destination = pair.partition(":")
        if not destination:
            sys.exit(f'"{pair}" is not SRC:DST')
        root.copy(source, destination)
    config = {"Entrypoint": [args.entrypoint], "Env": args.env or ["PATH=/bin"]}
    if args.user:
        config["User"] = args.user
    if args.label:
        config["Labels"] = dict(label.split("=", 1) for label in args.label)
    write_image(args.out, args.ref, root.bytes(), config, compress=args.gzip)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    base = commands.add_parser("base")
    for name in ("outdir", "busybox", "pause"):
        base.add_argument(name)
    base.set_defaults(run=base_images)
    one = commands.add_parser("one")
    one.add_argument("--user")
    one.add_argument("--label", action="append")
    one.add_argument("--env", action="append", help="in place of PATH=/bin")
    one.add_argument("--gzip", action="store_true", help="compress the layer")
    for name in ("out", "ref", "entrypoint"):
        one.add_argument(name)
    one.add_argument("files", nargs="+", metavar="SRC:DST")
    one.set_defaults(run=one_image)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
