"""Studies of many chains, killed and begun again: the same bytes, in every chain and verdict."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import yaml

from imglab.store import files
from imglab.store.verify import verify
from tests.faults.killing import Moment, attempt_command
from tests.ray_cluster import cluster
from tests.tiny_chains import TINY_GAUSSIAN, write

pytestmark = pytest.mark.slow

CHAIN = {**TINY_GAUSSIAN, "regime": "replace", "start": "previous", "generations": 2}
SWEEP = {**CHAIN, "seeds": [0, 1], "arms": {"replace": {}, "all": {"regime": "accumulate"}}}
TIMES = {"events.jsonl", ".lock", ".results.lock", "report.html", ".files.json"}
"""Files that hold times, or hashes of such files, or nothing."""
KILLS = 8


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): files.sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TIMES
    }


def samples_of(folder):
    shas = bytes_of(folder)
    return {name: sha for name, sha in shas.items() if name.endswith((".safetensors", "s.json"))}


@pytest.fixture
def catalog(tmp_path):
    """One claim about a protocol of ten chains."""
    folder = tmp_path / "catalog"
    for name in ("protocols", "catalog"):
        (folder / name).mkdir(parents=True)
    quick = {"cost": "x", "seeds": [0, 1, 2, 3, 4], "set": {"samples": 20}}
    arms: dict[str, Any] = {"control": None, "replace": {}}
    protocol = {"about": "x", "base": CHAIN, "arms": arms, "profiles": {"quick": quick}}
    terms = [{"arm": arm, "metric": "variance", "generation": 1} for arm in arms]
    must = [{"says": "x", "ratio": terms, "below": 3.0}]
    named = {"name": "loses", "family": "tiny", "protocol": "tiny"}
    claim = {**named, "source": "s", "claims": "c", "must": must}
    (folder / "protocols/tiny.yaml").write_text(yaml.safe_dump(protocol))
    (folder / "catalog/tiny.yaml").write_text(json.dumps([claim]))
    return folder


@pytest.mark.parametrize("study", ["claims", "sweep"])
def test_killed_and_begun_again(study, tmp_path, catalog, record_property):
    """At any operation on a file of a chain, of what chains share, and of the answers."""
    config = write(tmp_path, SWEEP, "sweep")
    first = ["claims", "loses"] if study == "claims" else ["sweep", str(config)]

    def run(out, moment=None):
        words = [*first, "--workers", "1", "--out", str(out)]
        return attempt_command(words, out, catalog=catalog, moment=moment)

    operations = run(tmp_path / "whole") or 0
    assert operations > 400

    chance, kills = random.Random(study), 0
    out = tmp_path / "out"
    for turn in range(KILLS):
        moment = Moment(chance.randrange(operations // 4), torn=turn % 2 == 0)
        kills += run(out, moment) is None
    assert run(out) is not None
    assert bytes_of(out) == bytes_of(tmp_path / "whole")
    assert not list(out.rglob(".tmp-*"))
    assert kills >= KILLS // 2
    record_property("kills", kills)


@pytest.fixture
def on_ray():
    pytest.importorskip("ray", reason="ray is not installed")
    with cluster():
        yield


@pytest.mark.usefixtures("on_ray")
def test_killed_on_a_ray_cluster(tmp_path, catalog, record_property):
    """The cluster ends the tasks of a driver that has died; the next one goes on with them."""
    config = write(tmp_path, {**SWEEP, "generations": 12, "threads": 1}, "sweep")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "imglab", "sweep", str(config), "--out", str(out)]

    driver = subprocess.Popen([*command, "--ray", "auto"], stdout=subprocess.DEVNULL)
    while not list(out.glob("*/seed-*/generation_003/manifest.json")) and driver.poll() is None:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()

    # Its workers notice that within seconds; until then they hold the locks of their runs.
    for _ in range(5):
        time.sleep(3)
        ended = subprocess.run([*command, "--ray", "auto"], capture_output=True, check=False)
        if ended.returncode == 0:
            break
    assert ended.returncode == 0, ended.stderr

    assert all("whole" in line for line in verify(out))
    words = ["sweep", str(config), "--out", str(tmp_path / "whole")]
    assert attempt_command(words, tmp_path / "whole", catalog=catalog) is not None
    # The workers of a cluster have an environment of their own, which manifests name.
    assert samples_of(out) == samples_of(tmp_path / "whole")
    record_property("kills", 1)
