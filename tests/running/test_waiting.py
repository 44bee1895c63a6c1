"""Runs that have generation 0's model in common and begin at the same time: one of them fits it."""

from __future__ import annotations

import json

from filelock import FileLock

from imglab.config.load import validate_config
from imglab.progress import Progress
from imglab.running.cache import FITTING, RunCache
from imglab.running.run import Run
from imglab.store.layout import count_finished, generation_folder
from tests.tiny_chains import TINY_GAUSSIAN


def a_run(tmp_path, name, **changes):
    tree = {**TINY_GAUSSIAN, "name": "tiny", "generations": 2, **changes}
    config = validate_config(tree, name)
    return Run(config, tmp_path / name, cache=RunCache.below(tmp_path / "cache", config, 1))


def stages(events):
    return [event.stage for event in events if isinstance(event, Progress)]


def logged(run, beginning):
    lines = (run / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [event for event in events if event.get("event", "").startswith(beginning)]


def is_fitting(cache):
    (path,) = cache.generation0.rglob(FITTING)
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except TimeoutError:
        return True
    lock.release()
    return False


def test_a_run_waits_for_the_model_that_another_one_is_fitting(tmp_path):
    first, second = a_run(tmp_path, "a"), a_run(tmp_path, "b", regime="accumulate")
    fitting, waiting = first.events(), second.events()
    assert next(fitting).stage != "wait"
    assert [next(waiting).stage for _ in range(3)] == ["wait"] * 3

    list(fitting)
    rest = stages(waiting)
    models = [generation_folder(tmp_path / name, 0) / "model" for name in "ab"]
    content = [{path.name: path.read_bytes() for path in m.iterdir()} for m in models]

    assert "wait" not in rest
    assert [event["event"] for event in logged(tmp_path / "b", "wait")] == ["waits", "waited"]
    assert not logged(tmp_path / "a", "wait")
    assert content[0] == content[1]
    assert count_finished(tmp_path / "b") == 2


def test_where_the_one_that_fits_stops_another_one_fits(tmp_path):
    first, second = a_run(tmp_path, "a"), a_run(tmp_path, "b")
    fitting, waiting = first.events(), second.events()
    next(fitting)
    assert next(waiting).stage == "wait"

    fitting.close()
    list(waiting)
    assert count_finished(tmp_path / "b") == 2
    assert not is_fitting(second._cache)


def test_a_run_that_is_alone_does_not_wait(tmp_path):
    run = a_run(tmp_path, "a")
    assert "wait" not in stages(run.events())
    assert not is_fitting(run._cache)
