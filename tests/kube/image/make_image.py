"""Writes an OCI image of one layer as a tar file, without a registry or an image tool. The same inputs give the same bytes.

usage: make_image.py NAME TAR ENTRYPOINT PATH=FILE... PATH@TARGET...

NAME is what pods name (localhost/pause:1), ENTRYPOINT a program inside the image, PATH=FILE a program to put in,
PATH@TARGET a symbolic link.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

FOLDERS = {"dev": 0o755, "proc": 0o755, "sys": 0o755, "etc": 0o755, "tmp": 0o1777}
USERS = b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"
OCI = "application/vnd.oci.image."


def add(tar, path, data=b"", kind=tarfile.REGTYPE, mode=0o755, target=""):
    """Adds a member that carries no time and no owner."""
    member = tarfile.TarInfo(path)
    member.type, member.mode, member.linkname, member.size = kind, mode, target, len(data)
    tar.addfile(member, io.BytesIO(data))


def layer(programs):
    """The image's file system, as a tar."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for folder, mode in FOLDERS.items():
            add(tar, folder, kind=tarfile.DIRTYPE, mode=mode)
        add(tar, "etc/passwd", USERS, mode=0o644)
        made = set(FOLDERS) | {""}
        for program in programs:
            path, is_file, source = program.lstrip("/").partition("=")
            if not is_file:
                path, _, source = path.partition("@")
            for folder in [str(parent) for parent in reversed(Path(path).parents)][1:]:
                if folder not in made:
                    made.add(folder)
                    add(tar, folder, kind=tarfile.DIRTYPE)
            if is_file:
                add(tar, path, Path(source).read_bytes())
            else:
                add(tar, path, kind=tarfile.SYMTYPE, target=source)
    return raw.getvalue()


def main(name, out, entrypoint, *programs):
    """Writes the image."""
    blobs = {}

    def blob(media_type, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": OCI + media_type, "digest": "sha256:" + digest, "size": len(data)}

    files = layer(programs)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [entrypoint], "Env": ["PATH=/bin"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(files).hexdigest()]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI + "manifest.v1+json",
        "config": blob("config.v1+json", json.dumps(config).encode()),
        "layers": [blob("layer.v1.tar+gzip", gzip.compress(files, mtime=0))],
    }
    described = blob("manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {"io.containerd.image.name": name}
    index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": [described]}
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT) as tar:
        add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}', mode=0o644)
        add(tar, "index.json", json.dumps(index).encode(), mode=0o644)
        for digest, data in sorted(blobs.items()):
            add(tar, "blobs/sha256/" + digest, data, mode=0o644)


main(*sys.argv[1:])
