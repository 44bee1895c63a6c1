"""Let two commands write at the same time, in every order of their file operations; count the ends.

    python scripts/interleave.py --schedules 1000     all of them
    python scripts/interleave.py --schedules 100      a part, chosen by --seed

Two commands on one run, or on runs that are related, go on in two processes, of which one waits
while the other works: before each operation on files below their folder (open, list, rename, link,
remove, make a folder, sync, lock), and instead of each sleep, a process hands over to a schedule
that a seed has drawn. So an order can be repeated, and no sleep is hoped to hit it.

Each command must end whole or with one message (exit code 0, 2 or 3). Then `imglab verify` must
find every run good, nothing temporary may be left, and the same commands must come to their end one
after the other, with the bytes of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from campaign_commands import CONFIG, SWEEP, run_command, warm_up
from interleaved import Actor, Schedule

from imglab.store import files

SWITCHES = (0.0, 0.0, 0.05, 0.3)
"""Shares of operations after which the other command has its turn. With 0 each command is only
interrupted where its head start ends: most mistakes need no more.
"""

GO_ON = "run {config} --out {run} --set generations=3"


@dataclass(frozen=True)
class Pair:
    """Two commands, and the state in which they find the runs.

    state   `whole`: a run of two generations, finished; `damaged`: one of its files is; `sweep`:
            arm a is finished, arm b has not begun; `none`: nothing is there
    after   commands that must then end with 0, one after the other, and leave everything whole
    """

    first: str
    second: str
    state: str = "whole"
    after: tuple[str, ...] = ("report {run}", GO_ON)


FORK = "fork {run}@0 --out {folder}/f --set generations=2"
OTHER_FORK = "fork {run}@0 --out {folder}/g --set generations=2"
ARM = "arm {sweep} {folder}/s"
ARM_FORK = "fork {folder}/s/a/seed-1@0 --out {folder}/f --set generations=2"
MENDED = ("verify {run} --repair", GO_ON, "report {run}")
OF_FORKS = ("verify {run}", FORK)
OF_SWEEP = (f"{ARM} b", f"{ARM} a", "verify {folder}/s")
MOVED = "{folder}/elsewhere/r"
PAIRS = (
    Pair("report {run}", "report {run}"),
    Pair("report {run}", GO_ON),
    Pair(GO_ON, GO_ON),
    Pair("run {config} --out {run}", "verify {run}"),
    Pair("verify {run}", GO_ON),
    Pair("metrics {run}", GO_ON),
    Pair(FORK, FORK, after=OF_FORKS),
    Pair(FORK, OTHER_FORK, after=(*OF_FORKS, OTHER_FORK)),
    Pair(FORK, GO_ON, after=OF_FORKS),
    Pair(FORK, f"move {{run}} {MOVED}", after=(GO_ON.replace("{run}", MOVED),)),
    Pair("report {run}", f"move {{run}} {MOVED}", after=(GO_ON.replace("{run}", MOVED),)),
    Pair(GO_ON, f"move {{run}} {MOVED}", after=(GO_ON.replace("{run}", MOVED),)),
    Pair("verify {run} --repair", GO_ON, "damaged", MENDED),
    Pair("verify {run} --repair", "verify {run} --repair", "damaged", MENDED),
    Pair("verify {run} --repair", "report {run}", "damaged", MENDED),
    Pair("verify {run} --repair", FORK, "damaged", MENDED),
    Pair("verify {run} --repair", "verify {run}", "damaged", MENDED),
    Pair(f"{ARM} b", ARM_FORK, "sweep", OF_SWEEP),
    Pair(f"{ARM} b", f"{ARM} b", "sweep", OF_SWEEP),
    Pair(f"{ARM} b", "verify {folder}/s --repair", "sweep", OF_SWEEP),
    Pair(f"{ARM} a", f"{ARM} b", "no sweep", OF_SWEEP),
    Pair("run {config} --out {run}", "run {config} --out {run}", "none"),
)


class Campaign:
    """Runs schedules of all pairs in turn, each on a fresh copy of the runs."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._seed = seed
        self.codes: Counter[tuple[int | None, ...]] = Counter()
        self.operations = 0

        # How often each command has written at most, so far.
        self._writes: dict[str, int] = {}

        # The states in which the commands find the runs.
        self._templates = folder / "templates"
        self._templates.mkdir()
        (folder / "g.yaml").write_text(CONFIG)
        (folder / "s.yaml").write_text(SWEEP)
        whole = self._templates / "whole"
        self._do("run {config} --out {run}", whole)
        shutil.copytree(whole, self._templates / "damaged")
        samples = self._templates / "damaged/r/generation_001/samples.safetensors"
        samples.write_bytes(samples.read_bytes()[:-1] + b"?")
        self._do(f"{ARM} a", self._templates / "sweep")
        self._write_sweep_file(self._templates / "sweep")
        self._write_sweep_file(self._templates / "no sweep")
        (self._templates / "none").mkdir()
        self._do(GO_ON, self._templates / "reference")

    def run(self, schedules: int, pairs: tuple[Pair, ...] = PAIRS) -> Iterator[str]:
        """Run so many schedules; yield what breaks a promise."""
        for number in range(schedules):
            yield from self._one(number, pairs[number % len(pairs)])

    def _one(self, number: int, pair: Pair) -> Iterator[str]:
        chance = random.Random(f"{self._seed} {number}")
        place = self._folder / f"turn{number}"
        shutil.copytree(self._templates / pair.state, place)
        (place / "elsewhere").mkdir()

        schedule = Schedule(chance, chance.choice(SWITCHES))
        lines = [pair.first, pair.second]
        if chance.random() < 0.5 and "move" not in pair.second:
            lines.reverse()
        actors = [
            Actor(
                self._words(line, place),
                self._folder / f"errors{at}",
                place,
                chance.randrange(self._writes.get(line, 20) + 1),
            )
            for at, line in enumerate(lines)
        ]
        wrong = [*filter(None, [schedule.run(actors)])]
        self.operations += sum(actor.operations for actor in actors)
        for line, actor in zip(lines, actors, strict=True):
            self._writes[line] = max(actor.writes, self._writes.get(line, 0))
        self.codes[tuple(actor.code for actor in actors)] += 1
        for actor in actors:
            text = actor.errors.read_text() if actor.errors.exists() else ""
            if actor.code not in (0, 2, 3) or "Traceback" in text:
                wrong.append(f"{actor.words} ended with {actor.code}: {text[-1500:]}")

        if not wrong:
            wrong += self._what_is_left(pair, place, deep=chance.random() < 0.2)
        for what in wrong:
            yield f"schedule {number} of seed {self._seed}, {pair.first} | {pair.second}: {what}"
        if not wrong:
            shutil.rmtree(place)

    def _what_is_left(self, pair: Pair, place: Path, *, deep: bool) -> Iterator[str]:
        """Find what is half, temporary, or cannot go on.

        deep  also let the commands of `after` come to their ends
        """
        is_mended = pair.state != "damaged"
        if is_mended:
            yield from self._unsealed(place)
        if is_mended and "move" not in pair.second:
            yield from self._temporaries(place)
        if not deep:
            return

        for line in pair.after:
            code, text = self._code(line, place)
            if code != 0:
                yield f"then `{line}` ends with {code}: {text[-1500:]}"
        yield from self._unsealed(place)
        yield from self._temporaries(place)
        reference = self._templates / "reference/r/generation_001/samples.safetensors"
        for path in place.glob("**/r/generation_001/samples.safetensors"):
            if "damaged" not in path.parts and path.read_bytes() != reference.read_bytes():
                yield f"{path} has other bytes"

    def _unsealed(self, place: Path) -> Iterator[str]:
        for config in sorted(place.glob("**/config.yaml")):
            code, text = self._code(f"verify {config.parent}", place)
            if code != 0:
                yield f"verify {config.parent.relative_to(place)}: {text[-1500:]}"

    def _temporaries(self, place: Path) -> Iterator[str]:
        for path in place.rglob(".tmp*"):
            yield f"{path.relative_to(place)} is left"

    def _words(self, line: str, place: Path) -> list[str]:
        places = {
            "config": self._folder / "g.yaml",
            "sweep": self._folder / "s.yaml",
            "folder": place,
            "run": place / "r",
        }
        return line.format(**places).split()

    def _code(self, line: str, place: Path) -> tuple[int, str]:
        """Run a command by itself, in a child that nobody stops."""
        errors = self._folder / "errors"
        child = os.fork()
        if child == 0:
            code, text = run_command(self._words(line, place))
            errors.write_text(text)
            os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), errors.read_text()

    def _do(self, line: str, place: Path) -> None:
        place.mkdir()
        code, text = self._code(line, place)
        assert code == 0, text

    def _write_sweep_file(self, place: Path) -> None:
        (place / "s").mkdir(parents=True, exist_ok=True)
        described = {"arms": ["a", "b"], "seeds": [1], "contrasts": []}
        files.write_signed(place / "s/sweep.json", described)


def interleave(schedules: int, seed: int, folder: Path) -> tuple[Campaign, list[str]]:
    """Run so many schedules; return the campaign, and what has broken a promise."""
    warm_up()
    campaign = Campaign(folder, seed)
    return campaign, list(campaign.run(schedules))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        campaign, broken = interleave(asked.schedules, asked.seed, Path(temporary))
    print(
        f"{asked.schedules} schedules of {campaign.operations} operations, "
        f"exit codes {dict(campaign.codes)}; {len(broken)} broken promises"
    )
    print("\n".join(broken[:20]))
    raise SystemExit(bool(broken))
