"""What a notebook shows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from imglab import Report
from imglab.report import gallery
from tests.page_fixtures import IMAGES


class TestNotebook:
    def test_a_run_shows_its_page(self, finished_runs):
        shown = Report(finished_runs["replace"])._repr_html_()
        assert shown.startswith("<iframe")
        assert 'sandbox="allow-scripts"' in shown
        assert "<script" not in shown, "the page is escaped into the frame"

    def test_a_generation_shows_its_numbers_and_images(self, tmp_path):
        from imglab import Run
        from imglab.config.load import validate_config

        run = Run(
            validate_config({"name": "run", **IMAGES, "generations": 1}, "test"), tmp_path / "run"
        )
        empty = run._repr_html_() or ""
        assert "no finished generation" in empty or "not a run directory" in empty
        generation = next(iter(run.generations()))
        html = generation._repr_html_() or ""
        assert "real against real" in html
        assert "data:image/png;base64," in html
        assert "<iframe" in (run._repr_html_() or "")

    def test_a_generation_of_texts_shows_how_it_continues_the_opening(self, finished_runs):
        from imglab.generation import Generation
        from imglab.store.reader import RunFolder

        stored = RunFolder(finished_runs["texts"])
        html = Generation(1, stored.metrics(1), stored)._repr_html_() or ""  # type: ignore[arg-type]
        assert "real text</b>" in html
        assert "generation 1</b>" in html

    def test_every_class_that_has_a_view_shows_it(self, finished_runs):
        from imglab import Generation, Run, SideBySide, Sweep
        from imglab.report.notebook import VIEWS
        from imglab.store.views import HasView

        classes = (Generation, Run, SideBySide, Sweep)
        assert {kind.__name__ for kind in classes} == set(VIEWS)
        for kind in classes:
            assert issubclass(kind, HasView)

        class Mine(SideBySide):
            """A class of a user's own has the view of its base class."""

        shown = Mine.__new__(Mine)
        shown.folder = finished_runs["replace"]
        assert shown._repr_html_() == Report(finished_runs["replace"])._repr_html_()
        assert HasView()._repr_html_() is None

    def test_the_report_is_imported_when_something_is_shown(self):
        code = """
import sys
from imglab.store.views import HasView

class Run(HasView):
    folder = "no such run"

assert not [name for name in sys.modules if name.startswith(("imglab.report", "torch"))]
assert "no such run" in Run()._repr_html_()
assert "imglab.report.notebook" in sys.modules
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def test_nothing_below_the_report_imports_it(self):
        package = Path(gallery.__file__).parent.parent
        above = {package / "__init__.py", package / "__main__.py"}
        for path in sorted(package.rglob("*.py")):
            if path in above or path.relative_to(package).parts[0] in ("report", "cli"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [f"{node.module}.{alias.name}" for alias in node.names]
                for name in names:
                    assert not f"{name}.".startswith("imglab.report."), f"{path}: {name}"
