"""The messages for the most frequent mistakes, word for word, as the command line prints them.

They are in tests/cli/golden/messages.txt. After a change of words:

    python -m tests.cli.test_messages --update
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from imglab.cli import main
from tests.tiny_chains import TINY_GAUSSIAN, TINY_IMAGE, TINY_MIXED, write

GOLDEN = Path(__file__).parent / "golden" / "messages.txt"

CHAINS = {"generations": 2, "chains": {"one": TINY_GAUSSIAN, "two": TINY_GAUSSIAN}}
SWEEP = {**TINY_GAUSSIAN, "seeds": [0, 1], "arms": {"all": {"regime": "accumulate"}}}
BROKEN = {
    "aliases": "name: &x tiny\nmodel: *x\n",
    "bracket": "model: [1, 2\n",
    "listed": "- 1\n- 2\n",
    "twice": "seed: 1\nseed: 2\n",
}
PLUG_IN = """
from imglab import Problem

def regime(sizes, *, generation, seed, keep=1):
    raise NotImplementedError

def needs(run, *, keep):
    if keep > run.real:
        yield Problem("regime.keep", f"asks for {keep} samples, but there are only {run.real}")

regime.needs = needs

class Model:
    pass
"""

COMMANDS = """
run none.yaml
run tinny.yaml
run listed.yaml
run bracket.yaml
run twice.yaml
run aliases.yaml
run .
run sweep.yaml
run tiny.yaml --set generations=0
run tiny.yaml --set generations=six
run tiny.yaml --set generatons=3
run tiny.yaml --set modality.n_trian=3
run tiny.yaml --set modality.kind=gausian
run tiny.yaml --set 'modality={n_train: 3}'
run tiny.yaml --set model.kind=gausian
run tiny.yaml --set regime.kind=repalce
run tiny.yaml --set 'regime={kind: mix}'
run tiny.yaml --set regime.real_fraction=1.5
run tiny.yaml --set regime.real=frsh
run tiny.yaml --set start=prevous
run tiny.yaml --set name=../up
run tiny.yaml --set seed
run tiny.yaml --set generations.x=1
run tiny.yaml --set 'regime=[1'
run tiny.yaml --set profile=small
run tiny.yaml --set samples=4
run tiny.yaml --set measure.precision_recall_k=30
run tiny.yaml --set regime.real=fixed --set regime.real_fraction=1.0 --set samples=900
run tiny.yaml --set modality.n_test=1
run tiny.yaml --set base=nowhere
run tiny.yaml --set base=nowhere --set start=scratch
run tiny.yaml --set curate=orakel
run tiny.yaml --set 'curate={kind: oracle, keep: 0.01, oversample: 1.0}'
run tiny.yaml --set curate=confidence
run image.yaml --set curate=density
run tiny.yaml --set regime.kind=no_lab:regime
run tiny.yaml --set regime.kind=my_lab:Model
run tiny.yaml --set 'regime={kind: my_lab:regime, kepe: 2}'
run tiny.yaml --set 'regime={kind: my_lab:regime, keep: 99}'
run tiny.yaml --set 'model={kind: my_lab:Model}'
run tiny.yaml --set tracker=wandb
run tiny.yaml --set seed=-1 --set shown=0 --set threads=many
run tiny.yaml --out tiny.yaml
run tiny.yaml --out .
run tiny.yaml --out locked
run tiny.yaml --out full
run tiny.yaml --out done --set seed=7
run tiny.yaml --workers 2
run image.yaml --set 'modality.source={kind: folder, path: pictures}'
run image.yaml --set 'modality.source={kind: hub, name: nobody/nothing}'
run image.yaml --set 'modality.classes=[3, 5]'
run image.yaml --set model.channels.0=8
run image.yaml --set 'model.channels=[8, 8, 8, 8, 8]'
run image.yaml --set 'regime={kind: mix, real_fraction: 0.5, real: fresh}'
run image.yaml --set 'regime={kind: synthetic_augmentation, ratio: 2}'
run image.yaml --set model.sampling_bias=0.5
run mixed.yaml --set 'model.shares=[0.5]'
run chains.yaml --set chains.one.name=x
run chains.yaml --set 'chains={}'
metrics .
metrics none
metrics damaged
report done none
verify damaged
verify none
export done@9 --to pictures
export done --to pictures
export done@1 --to done
fork done@1
fork done@7 --out forked
fork done --out forked
fork done@2 --out forked
fork done@1 --out forked --set seed=7
fork done@1 --out done
fork done@1 --out forked --set 'regime={kind: fresh_data, fresh: 3}'
sweep tiny.yaml
sweep sweep.yaml --set 'seeds=[1, 1]'
sweep sweep.yaml --set seed=3
sweep sweep.yaml --set 'arms={control: {seed: 1}}'
sweep sweep.yaml --set 'contrasts=[{metric: fid, arms: [all, al]}]'
sweep sweep.yaml --set arms.all.regime=acumulate
claims kernels_blurr
claims --profile large
claims rare_words_die_first --seeds 3
claims kernels_blur --seeds 100
claims text_remedies
halves tiny.yaml --set modality.n_train=10
halves mixed.yaml
halves sweep.yaml
run image.yaml --set modality.groups=tone
run image.yaml --set 'modality.group_sizes={dark: 3}'
validate tiny.yaml
validate tiny.yaml --set 'regime={kind: my_lab:regime}'
""".strip().splitlines()


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[None]:
    """Fill a folder with configs and run directories, and work in it."""
    before = Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        for name, tree in (
            ("tiny", TINY_GAUSSIAN),
            ("image", TINY_IMAGE),
            ("mixed", TINY_MIXED),
            ("chains", CHAINS),
            ("sweep", SWEEP),
        ):
            write(folder, tree, name)
        for name, text in BROKEN.items():
            (folder / f"{name}.yaml").write_text(text)
        (folder / "my_lab.py").write_text(PLUG_IN)

        assert said("run tiny.yaml --out done").endswith("exit code 0\n")
        shutil.copytree("done", "damaged")
        (folder / "damaged/generation_001/metrics.json").write_text("{")
        yield
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
        sys.modules.pop("my_lab", None)


def said(command: str) -> str:
    """Return what a command prints besides the progress of a run, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["imglab", *shlex.split(command)]),
        obstacle(command),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0

    printed = err.getvalue()
    if command.startswith("validate"):
        printed += out.getvalue()
    printed = printed.replace(f"{Path.cwd()}/", "").replace(str(Path.cwd()), ".")
    return f"$ imglab {command}\n{printed}exit code {code}\n"


@contextlib.contextmanager
def obstacle(command: str) -> Iterator[None]:
    """Let the disk refuse or be full for two commands, and no tracker be installed."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with contextlib.ExitStack() as patches:
        if "locked" in command:
            patches.enter_context(mock.patch.object(Path, "mkdir", refuse))
        if "--out full" in command:
            patches.enter_context(mock.patch("imglab.store.files.os.replace", full))
        if "tracker" in command:
            patches.enter_context(mock.patch("importlib.util.find_spec", return_value=None))
        yield


def golden() -> dict[str, str]:
    """Return the recorded messages by command."""
    recorded = GOLDEN.read_text(encoding="utf-8").split("$ imglab ")[1:]
    return {text.partition("\n")[0]: f"$ imglab {text.rstrip()}\n" for text in recorded}


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory) -> Iterator[None]:
    with workplace(tmp_path_factory.mktemp("messages")):
        yield


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistake_is_told_in_these_words(command):
    assert said(command) == golden()[command]
    assert not Path("runs").exists(), "a mistake leaves no run directory"


def test_nothing_else_is_recorded():
    assert list(golden()) == COMMANDS


def update() -> None:
    """Record what the commands say now."""
    with tempfile.TemporaryDirectory() as folder, workplace(Path(folder).resolve()):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text("\n".join(said(command) for command in COMMANDS), encoding="utf-8")


if __name__ == "__main__":
    os.environ["IMGLAB_CACHE"] = ""  # as for all tests: nothing of earlier runs is known
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        print("python -m tests.cli.test_messages --update")
