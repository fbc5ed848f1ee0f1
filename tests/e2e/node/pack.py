#!/usr/bin/env python3
"""Packs one static program as an image: an OCI archive of one layer, the same bytes each time.

  pack.py ARCHIVE NAME PROGRAM USER     the image NAME: it holds PROGRAM in its root, and runs it as the user of that number

No image tool and no registry is needed for that: an OCI archive is a tar of JSON files and of the layer, named by their digests.
"""
import hashlib
import io
import json
import os
import platform
import sys
import tarfile

KIND = "application/vnd.oci.image."
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def tar(files):
    """A tar of (name, mode, content), in which nothing tells when and by whom it was made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, mode, content in files:
            entry = tarfile.TarInfo(name)
            entry.mode, entry.size = mode, len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    archive, name, program, user = sys.argv[1:]
    if platform.machine() not in ARCHITECTURES:
        sys.exit(f"error: pack.py has no name for the architecture {platform.machine()}")
    where = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    blobs = []

    def blob(kind, content, **more):
        digest = hashlib.sha256(content).hexdigest()
        blobs.append((f"blobs/sha256/{digest}", 0o644, content))
        return {"mediaType": KIND + kind, "digest": f"sha256:{digest}", "size": len(content), **more}

    def document(content):
        return json.dumps(content, sort_keys=True).encode()

    entry = os.path.basename(program)
    with open(program, "rb") as file:
        layer = blob("layer.v1.tar", tar([(entry, 0o755, file.read())]))
    config = blob("config.v1+json", document({
        **where,
        "config": {"Entrypoint": [f"/{entry}"], "User": user},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }))
    manifest = blob("manifest.v1+json", document({
        "schemaVersion": 2, "mediaType": KIND + "manifest.v1+json", "config": config, "layers": [layer],
    }), platform=where, annotations={"io.containerd.image.name": name})
    index = document({"schemaVersion": 2, "mediaType": KIND + "index.v1+json", "manifests": [manifest]})
    layout = document({"imageLayoutVersion": "1.0.0"})
    with open(archive, "wb") as file:
        file.write(tar([("oci-layout", 0o644, layout), ("index.json", 0o644, index), *blobs]))


main()
