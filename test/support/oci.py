# SPDX-License-Identifier: Apache-2.0
"""Images FROM scratch, made and pushed without any container engine."""

import base64
import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import urllib.error
import urllib.request

from support.server import ROOT


def program(folder):
    """Builds test/support/container, a static program; its path."""
    path = folder / "container"
    subprocess.run(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./test/support/container"], cwd=ROOT,
                   env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    return path


def layer(files):
    """An uncompressed layer of {name: (bytes, mode)}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (content, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry:
    """The client side of a push."""

    def __init__(self, server, ecr):
        token = ecr.get_authorization_token()["authorizationData"][0]
        self.base = server.url
        self.host = server.url.partition("://")[2]
        self.basic = token["authorizationToken"]

    @property
    def password(self):
        return base64.b64decode(self.basic).decode().partition(":")[2]

    def ask(self, method, path, body=None, **headers):
        url = path if path.startswith("http") else self.base + path
        request = urllib.request.Request(url, data=body, method=method,
                                         headers={"Authorization": "Basic " + self.basic, **{k.replace("_", "-"): v for k, v in headers.items()}})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, dict(answer.headers), answer.read()

    def put_blob(self, repository, content):
        name = digest(content)
        _, headers, _ = self.ask("POST", f"/v2/{repository}/blobs/uploads/", b"")
        location = headers["Location"]
        joint = "&" if "?" in location else "?"
        status, _, _ = self.ask("PUT", f"{location}{joint}digest={name}", content, Content_Type="application/octet-stream")
        assert status == 201
        return name

    def push(self, repository, tag, layers, **config):
        """Pushes an image of layers (bytes of tar); config has Entrypoint, Cmd, Env, User, WorkingDir. Gives its digest."""
        packed = [gzip.compress(text, mtime=0) for text in layers]
        document = json.dumps({"architecture": "amd64", "os": "linux", "config": config,
                               "rootfs": {"type": "layers", "diff_ids": [digest(text) for text in layers]}}).encode()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": self.put_blob(repository, document), "size": len(document)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": self.put_blob(repository, text), "size": len(text)}
                       for text in packed]}).encode()
        status, _, _ = self.ask("PUT", f"/v2/{repository}/manifests/{tag}", manifest, Content_Type="application/vnd.oci.image.manifest.v1+json")
        assert status == 201
        return digest(manifest)
