"""A search in its directory: DIR/<real share>/seed-<s>/, each a run like any other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from imglab.errors import InputError, Problem, ProblemCollector
from imglab.measure.gate import thresholds
from imglab.pool import given_samples
from imglab.running.build import build, build_regime
from imglab.running.checks import check_sizes
from imglab.running.resume import RUNS, check_folder
from imglab.store import files
from imglab.store.reading import read_metrics
from imglab.studies.chains import chain_job, threads_per_worker
from imglab.studies.jobs import Job
from imglab.studies.mixing.criterion import CONTROL, Criterion, Rows
from imglab.studies.mixing.plan import Plan
from imglab.studies.mixing.request import Request, arm_name
from imglab.studies.mixing.rounds import run_round
from imglab.studies.mixing.search import Search, Threshold, threshold
from imglab.studies.sweeps.config import run_folder

RESULT = "mixing.json"
ASKED = ("question", "answer")
METRICS = ("fid", "variance_ratio", "precision_bounded", "recall_bounded", "coverage")
"""What the table shows of each chain's last generation, where it has it."""


@dataclass
class Mixing:
    """All chains of a search. Making one checks the data and the directory, and writes nothing.

    out  the directory; default: runs/mix_<name of the config>
    """

    request: Request
    out: Path | None = None
    workers: int = 1
    _held: dict[int, dict[float, bool | None]] = field(default_factory=dict)
    _chains: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.out or RUNS / self.request.name
        check_folder(self.folder, RESULT, "does not hold a search")
        stored = read_question(self.folder)
        if stored is not None and _comparable(stored) != self.question:
            what = "holds the search of another question"
            raise InputError(Problem(str(self.folder), what, "choose another --out"))

        # Both ends are checked: chains on real data alone, and on the synthetic set alone, differ
        # only in what their regime takes.
        request = self.request
        experiment = build(request.config(1.0), request.where)
        modality = experiment.modality
        self._n = len(modality.real("train"))
        self._line = modality.data_line

        # Where the synthetic set is smaller than the real one, all training sets are as small.
        (samples,) = given_samples(modality).values()
        if len(samples) < self._n:
            self.request = replace(request, size=len(samples))
        none = self.request.config(0.0)
        collector = ProblemCollector(request.where)
        collector.run(partial(check_sizes, none, modality, build_regime(none)))
        collector.finish()
        gate = thresholds(experiment.config.measure, modality)
        self.criterion = Criterion(request.criterion, gate, modality.trusted)

    @property
    def question(self) -> dict[str, Any]:
        """Return what identifies the question, by which a directory is known again."""
        tree = files.json_bytes({"tree": self.request.tree})
        return {
            "config": hashlib.sha256(tree).hexdigest(),
            "plan": asdict(self.request.plan),
            "criterion": self.request.criterion,
            "label": self.request.label,
            "budget": self.request.budget,
        }

    @property
    def data_line(self) -> str:
        """What was found in the real and in the synthetic data."""
        return self._line

    def run(self, tell: Callable[[str], None]) -> dict[str, Any]:
        """Search, or go on searching; return what `mixing.json` holds.

        `tell` is given a line for each chain that is finished. Raises InputError where a chain
        cannot run, and Stopped where it was stopped.
        """
        files.make_folder(self.folder)
        self._write(self._answer(finished=False))
        while wanted := dict(self._next_shares()):
            self._run_round(wanted)
            for seed, share in wanted.items():
                self._judge(share, seed, tell)

        answer = self._answer(finished=True)
        self._write(answer)
        return answer

    def _next_shares(self) -> Iterator[tuple[int, float]]:
        """Yield each seed whose search is not at its end, with the share that it tries next."""
        for seed in range(self.request.plan.seeds):
            share = self._search(seed).next_share()
            if share is not None:
                yield seed, share

    def _search(self, seed: int) -> Search:
        return Search(self.request.plan.halvings, self._held.get(seed, {}))

    def _run_round(self, wanted: Mapping[int, float]) -> None:
        """Run the chains of these seeds and shares to their ends."""
        threads = threads_per_worker(self.workers)
        jobs: dict[str, Job] = {}
        for seed, share in wanted.items():
            config = self.request.config(share, seed)
            folder = run_folder(self.folder, arm_name(share), seed)
            jobs[_name(share, seed)] = chain_job(config, folder, threads, self.folder / ".cache")
        run_round(jobs, self.workers)

    def _judge(self, share: float, seed: int, tell: Callable[[str], None]) -> None:
        """Read a finished chain, and note whether it holds."""
        rows = read_metrics(run_folder(self.folder, arm_name(share), seed))

        # In the first round all seeds have run on real data alone.
        others = [other for other in range(self.request.plan.seeds) if other != seed]
        controls: list[Rows] = [
            read_metrics(run_folder(self.folder, arm_name(1.0), each)) for each in [seed, *others]
        ]
        holds, reason = self.criterion.judge(rows, controls)

        # Others are held against these.
        if share == 1.0 and self.criterion.name == CONTROL:
            holds = True
            reason = ""
        self._held.setdefault(seed, {})[share] = holds
        self._chains.append(
            {
                "share": share,
                "seed": seed,
                "holds": holds,
                "reason": reason,
                "generation0": (rows[0].get("generation0") or {}).get("verdict"),
                "extractor": rows[-1].get("extractor"),
                "floor": _means(rows[-1]["floor"]),
                "metrics": {name: rows[-1][name] for name in METRICS if name in rows[-1]},
            }
        )
        word = {True: "holds", False: "does not hold", None: "cannot be decided"}[holds]
        tell(f"real share {share:g}, seed {seed}: {word}{f' ({reason})' if reason else ''}")

    def _answer(self, *, finished: bool) -> dict[str, Any]:
        brackets = [self._search(seed).bracket() for seed in range(self.request.plan.seeds)]
        answer: Threshold | None = None
        if finished and all(brackets):
            answer = threshold(bracket for bracket in brackets if bracket is not None)

        chains = sorted(self._chains, key=lambda chain: (chain["share"], chain["seed"]))
        return {
            "question": self.question,
            "finished": finished,
            "real": self._n,
            "size": self.request.size or self._n,
            "data": self._line,
            "thresholds": dict(self.criterion.thresholds),
            "brackets": brackets,
            "answer": None if answer is None else asdict(answer),
            "chains": chains,
        }

    def _write(self, answer: Mapping[str, Any]) -> None:
        files.write_signed(self.folder / RESULT, answer)


def read_question(folder: Path) -> dict[str, Any] | None:
    """Return the question of the search in a folder, with its plan; None where there is none."""
    path = folder / RESULT
    if not path.is_file():
        return None
    question: dict[str, Any] = files.read_signed(path, ASKED)["question"]
    return question


def _comparable(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored question as one that is asked now."""
    return {**question, "plan": asdict(Plan.read(question["plan"]))}


def _name(share: float, seed: int) -> str:
    return f"{arm_name(share)}/seed-{seed}"


def _means(floor: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: floor[name]["mean"]
        for name in METRICS
        if isinstance(floor.get(name), Mapping) and floor[name].get("mean") is not None
    }
