# SPDX-License-Identifier: Apache-2.0
"""Brings the user's code to where it runs."""

import logging
import os
import shutil
import tarfile
import tempfile

from sagebrush_toolkit import errors

log = logging.getLogger("sagebrush-toolkit")


def fetch(uri, target, folders):
    """Puts the code that uri names into the folder target.

    Code that is there already is taken: the platform unpacks an archive in S3
    before the container starts. Otherwise uri is a folder, an archive (of the
    channel "code" under network isolation), a single file, or an archive in S3.
    """
    os.makedirs(target, exist_ok=True)
    if os.listdir(target):
        return
    if uri.startswith("s3://"):
        with tempfile.TemporaryDirectory() as tmp:
            path = os.path.join(tmp, "source")
            _download(uri, path)
            unpack(path, target)
        return
    path = folders.here(uri)
    if os.path.realpath(path) == os.path.realpath(target):
        raise errors.ClientError("The source directory %s is empty: no code was given to this job." % uri)
    if os.path.isdir(path):
        shutil.copytree(path, target, symlinks=True, dirs_exist_ok=True)
    elif not os.path.exists(path):
        raise errors.ClientError("The source code %s does not exist." % uri)
    elif path.endswith((".tar.gz", ".tgz", ".tar")) or tarfile.is_tarfile(path):
        unpack(path, target)
    else:
        shutil.copy2(path, target)


def _download(uri, path):
    bucket, _, key = uri[len("s3://"):].partition("/")
    try:
        import boto3
    except ImportError:
        raise errors.ClientError("The source code %s was not fetched for this job, and boto3 is not installed to do so." % uri) from None
    client = boto3.client("s3", endpoint_url=os.environ.get("S3_ENDPOINT_URL"))
    try:
        client.download_file(bucket, key, path)
    except Exception as e:  # botocore's many
        raise errors.ClientError("The source code %s cannot be fetched: %s" % (uri, e)) from None


def unpack(archive, target):
    """Unpacks a tar archive, compressed or not.

    Nothing is written outside target: an entry whose path or link would leave
    it, and devices and pipes, are refused.
    """
    root = os.path.realpath(target)
    try:
        with tarfile.open(archive) as tar:
            for entry in tar:
                _check(entry, root, archive)
                entry.mode = (entry.mode & 0o755) | 0o600 | (0o100 if entry.isdir() else 0)
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                _extract(tar, entry, root)
    except (tarfile.TarError, EOFError, OSError) as e:
        raise errors.ClientError("The source code %s is no archive that can be unpacked: %s" % (archive, e)) from None


def _extract(tar, entry, root):
    # set_attrs also sets the owner, which only root may.
    if hasattr(tarfile, "fully_trusted_filter"):  # what is safe has been decided
        tar.extract(entry, root, filter="fully_trusted", set_attrs=not entry.issym())
    else:
        tar.extract(entry, root, set_attrs=not entry.issym())


def _check(entry, root, archive):
    def inside(path):
        return path == root or path.startswith(root + os.sep)

    def refuse(why):
        raise errors.ClientError("The source code %s holds %r, %s." % (archive, entry.name, why))

    place = os.path.realpath(os.path.join(root, entry.name))
    if os.path.isabs(entry.name) or not inside(place):
        refuse("which lies outside the source directory")
    if not (entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()):
        refuse("which is neither file, folder nor link")
    if entry.issym() or entry.islnk():
        base = os.path.dirname(place) if entry.issym() else root
        if os.path.isabs(entry.linkname) or not inside(os.path.realpath(os.path.join(base, entry.linkname))):
            refuse("a link to %r outside the source directory" % entry.linkname)
