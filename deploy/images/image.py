#!/usr/bin/env python3
"""Makes an OCI image without a registry, a daemon or an image tool, from a list of files.

Promises: the same files give the same bytes, whoever makes them, wherever and whenever (times are SOURCE_DATE_EPOCH, else 0;
owners, the order of files and the caller's umask do not get in). A program brings the shared libraries that it needs and the
loader, from where this machine has them, with their Debian packages' licences and entries for scanners. No shell comes in by
itself. It needs Python 3.9, and for programs with shared libraries `ldd`; `dpkg-query`, where there is one, knows packages.

  image.py OUT --name NAME --entrypoint PATH [--user UID:GID] [--port N] [--env KEY=VALUE]... [--label KEY=VALUE]... FILE...

FILE is PATH=SOURCE, a file to put in, or PATH@TARGET, a symbolic link. OUT is a tar that holds an OCI image layout; with --tree
it is a folder to make, with the image's file system in it and nothing else. NAME is what pods call the image
(localhost/pause:1). Prints OUT, the manifest's digest, and the bytes of a pull.
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
import time
from pathlib import Path

FOLDERS = {"dev": 0o755, "etc": 0o755, "proc": 0o755, "sys": 0o755, "tmp": 0o1777}
# The home of a user who owns no file is where everybody may write.
PASSWD = "root:x:0:0::/:/sbin/nologin\nnobody:x:65534:65534::/:/sbin/nologin\nnonroot:x:65532:65532::/tmp:/sbin/nologin\n"
GROUP = "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"
# Without it the C library asks DNS for what /etc/hosts knows.
NSSWITCH = "hosts: files dns\n"
# By the machine's number in an ELF header.
ARCHITECTURES = {62: "amd64", 183: "arm64"}
OCI = "application/vnd.oci.image."
NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def main():
    """Reads the command line and writes the image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--name", default="")
    parser.add_argument("--entrypoint", default="")
    parser.add_argument("--user", default="")
    parser.add_argument("--port", type=int, action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--label", action="append", default=[])
    parser.add_argument("--tree", action="store_true")
    args = parser.parse_args()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or 0)
    members, architecture = gather(args.files)
    layer = file_system(members, epoch)
    if args.tree:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            # It is our own tar: newer Pythons would else take the sticky bit off /tmp.
            tar.extraction_filter = lambda member, _: member
            tar.extractall(args.out)
        return
    digest, size = write(args, layer, architecture, epoch)
    print(f"{args.out} sha256:{digest} {size}")


def gather(files):
    """Everything that goes in, by path: bytes and mode of a file, or the target of a link. And what machine it is for."""
    members = {
        "etc/passwd": (PASSWD.encode(), 0o644),
        "etc/group": (GROUP.encode(), 0o644),
        "etc/nsswitch.conf": (NSSWITCH.encode(), 0o644),
    }
    architecture = None
    for item in files:
        path, is_file, source = item.partition("=")
        if not is_file:
            path, _, target = item.partition("@")
            members[inside(path)] = target
            continue
        source = Path(source)
        data = source.read_bytes()
        members[inside(path)] = (data, 0o755 if os.access(source, os.X_OK) else 0o644)
        if data[:4] == b"\x7fELF":
            number = int.from_bytes(data[18:20], "little")
            if number not in ARCHITECTURES or architecture not in (None, ARCHITECTURES[number]):
                sys.exit(f"image.py: {source}: ELF machine {number} is none of, or not that of the other files: {ARCHITECTURES}")
            architecture = ARCHITECTURES[number]
            members.update(libraries(source))
    return members, architecture or sys.exit("image.py: no program among the files")


def libraries(program):
    """The shared libraries that a program needs, its loader among them, under the paths by which it finds them here."""
    ldd = subprocess.run(["ldd", program], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if ldd.returncode != 0:
        if "not a dynamic executable" in ldd.stderr + ldd.stdout:
            return {}
        sys.exit(f"image.py: ldd {program}: {ldd.stderr.strip()}")
    members = {}
    for line in ldd.stdout.splitlines():
        # `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `/lib64/ld-linux-x86-64.so.2 (0x…)`, `statically linked`
        if "=> not found" in line:
            sys.exit(f"image.py: {program} needs {line.split()[0]}, which this machine does not have")
        path = next((word for word in line.split() if word.startswith("/")), None)
        if path:
            members[inside(path)] = (Path(path).read_bytes(), 0o755)
            members.update(package(path))
    return members


def package(library):
    """What a scanner and a lawyer look for: the Debian package that a library is from. Nothing where no package is known."""
    members = {}
    # Packages know some libraries below /lib and some below /usr/lib, which are one folder.
    resolved = os.path.realpath(library)
    for path in (library, resolved, resolved.removeprefix("/usr")):
        try:
            search = subprocess.run(["dpkg-query", "--search", path], capture_output=True, text=True)
        except FileNotFoundError:
            return members
        name = search.stdout.partition(":")[0]
        if search.returncode != 0 or not name:
            continue
        shown = subprocess.run(["dpkg-query", "--status", name], capture_output=True, check=True)
        members[f"var/lib/dpkg/status.d/{name}"] = (shown.stdout, 0o644)
        members["etc/os-release"] = (Path("/etc/os-release").read_bytes(), 0o644)
        notice = Path("/usr/share/doc", name, "copyright")
        if notice.exists():
            members[inside(notice)] = (notice.read_bytes(), 0o644)
        break
    return members


def inside(path):
    """A path as the image has it; one that leaves it is refused."""
    parts = Path(str(path).lstrip("/")).parts
    if not parts or ".." in parts:
        sys.exit(f"image.py: {path}: no path of an image")
    return "/".join(parts)


def file_system(members, epoch):
    """The image's file system as a tar: folders before what is in them, all of it root's."""
    folders = dict(FOLDERS)
    for path in members:
        for folder in Path(path).parents:
            folders.setdefault(str(folder), 0o755)
    folders.pop(".", None)
    everything = {**{path: mode for path, mode in folders.items()}, **members}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(everything):
            what = everything[path]
            if isinstance(what, int):
                add(tar, path, epoch, kind=tarfile.DIRTYPE, mode=what)
            elif isinstance(what, str):
                add(tar, path, epoch, kind=tarfile.SYMTYPE, mode=0o777, target=what)
            else:
                add(tar, path, epoch, data=what[0], mode=what[1])
    return raw.getvalue()


def add(tar, path, epoch, data=b"", kind=tarfile.REGTYPE, mode=0o644, target=""):
    """Adds a member that is root's."""
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.linkname, member.size, member.mtime = kind, mode, target, len(data), epoch
    tar.addfile(member, io.BytesIO(data))


def write(args, layer, architecture, epoch):
    """Writes the layout. Returns the manifest's digest, and the bytes of all that a registry hands out for it."""
    blobs = {}

    def blob(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": OCI + kind, "digest": "sha256:" + digest, "size": len(data)}

    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=packed, mtime=0) as zipped:
        zipped.write(layer)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    labels = dict(sorted(label.split("=", 1) for label in args.label))
    config = {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": args.user,
            "ExposedPorts": {f"{port}/tcp": {} for port in args.port},
            "Env": ["PATH=/bin", *args.env],
            "Entrypoint": [args.entrypoint],
            "WorkingDir": "/",
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created": created, "created_by": "deploy/images/image.py"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": blob("config.v1+json", json.dumps(config).encode()),
        "layers": [blob("layer.v1.tar+gzip", packed.getvalue())],
        "annotations": {"org.opencontainers.image.created": created, **labels},
    }
    described = blob("manifest.v1+json", json.dumps(manifest).encode())
    size = sum(len(data) for data in blobs.values())
    described["platform"] = {"architecture": architecture, "os": "linux"}
    described["annotations"] = dict(zip(NAME_ANNOTATIONS, (args.name, args.name.rpartition(":")[2])))
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [described]}
    with tarfile.open(args.out, "w", format=tarfile.USTAR_FORMAT) as tar:
        add(tar, "oci-layout", epoch, b'{"imageLayoutVersion":"1.0.0"}')
        add(tar, "index.json", epoch, json.dumps(index).encode())
        for digest, data in sorted(blobs.items()):
            add(tar, "blobs/sha256/" + digest, epoch, data)
    return described["digest"].removeprefix("sha256:"), size


main()
