"""The table of many runs in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from imglab.report.view import RunsView
from imglab.store import files
from tests.report.test_browser import SHOTS, browser
from tests.report.test_view import one, with_seed

__all__ = ["browser", "one"]  # fixtures of other files

pytestmark = pytest.mark.slow

SCREENS = [
    pytest.param((1280, "light"), id="wide-light"),
    pytest.param((1280, "dark"), id="wide-dark"),
    pytest.param((400, "light"), id="narrow-light"),
    pytest.param((400, "dark"), id="narrow-dark"),
]


@pytest.fixture(scope="module")
def folder(one, tmp_path_factory) -> Path:
    """Five runs: two in a sweep, one of them without a finished generation."""
    root: Path = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("alpha", "beta", "gamma", "sweep/arm/seed-0", "sweep/arm/seed-1")):
        with_seed(shutil.copytree(one, root / name), seed)
    shutil.rmtree(root / "gamma" / "generation_000")
    shutil.rmtree(root / "gamma" / "generation_001")
    files.write_signed(
        root / "sweep" / "sweep.json", {"arms": ["arm"], "seeds": [0, 1], "contrasts": []}
    )
    return root


@pytest.fixture(params=SCREENS)
def page(request, browser, folder, tmp_path):
    """The table, which may delete, of a copy of the runs."""
    width, scheme = request.param
    runs = shutil.copytree(folder, tmp_path / "runs")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    opened = context.new_page()
    opened.wrong = []
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    with RunsView(runs, deletes=True) as view:
        opened.goto(view.url)
        opened.wait_for_selector("body[data-ready]")
        opened.runs = runs
        yield opened
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            name = request.node.name.replace("[", "-").replace("]", "")
            opened.screenshot(path=f"{SHOTS}/{name}.png")
        assert opened.wrong == []
        context.close()


def names(page) -> list[str]:
    cells = "cells => cells.filter(c => !c.parentNode.hidden).map(c => c.dataset.value)"
    return list(page.eval_on_selector_all("td.name", cells))


def test_runs_are_filtered_sorted_and_compared_by_keyboard(page):
    assert len(names(page)) == 5
    page.locator("#filter").focus()
    page.keyboard.type("seed=1")
    assert names(page) == ["beta"]
    page.locator("#filter").fill("")
    page.locator("#status").select_option("stopped")
    assert len(names(page)) == 5

    head = page.locator("th.name button")
    head.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert names(page)[-1] == "alpha"
    assert page.locator("th.name").get_attribute("aria-sort") == "descending"
    page.locator("th button", has_text="generations").click()
    assert names(page)[0] == "gamma", "numbers are sorted as numbers"

    for name in ("alpha", "beta", "gamma"):
        page.locator(f"input[aria-label='Select {name}']").focus()
        page.keyboard.press("Space")
    assert page.locator("#count").inner_text() == "5 of 5 runs, 3 selected"
    compare = page.locator("#compare")
    assert compare.inner_text() == "Compare 2 runs", "the third has nothing to show"
    compare.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#generation")
    assert page.locator("h1").inner_text() == "alpha · beta"
    page.locator("a", has_text="All runs").click()
    page.wait_for_selector("#runs")


def test_what_is_hidden_is_not_selected(page):
    page.locator("#all").check()
    assert page.locator("#count").inner_text() == "5 of 5 runs, 5 selected"
    page.locator("#filter").fill("alpha")
    assert page.locator("#count").inner_text() == "1 of 5 runs, 1 selected"
    page.locator("#filter").fill("")
    assert page.locator("#count").inner_text() == "5 of 5 runs, 1 selected"


def test_a_run_is_deleted_only_after_a_question(page):
    page.locator("input[aria-label='Select beta']").check()
    page.locator("#delete").click()
    assert "beta" in page.locator("#sure").inner_text()
    page.locator("#no").click()
    assert (page.runs / "beta").exists()

    page.locator("input[aria-label='Select sweep/arm/seed-0']").check()
    page.locator("#delete").click()
    page.locator("#yes").click()
    page.wait_for_selector("#refused:has-text('is part of sweep')")
    assert (page.runs / "beta").exists(), "all or nothing"
    page.keyboard.press("Escape")

    page.locator("input[aria-label='Select sweep/arm/seed-0']").uncheck()
    page.locator("#delete").click()
    with page.expect_navigation():
        page.locator("#yes").click()
    assert not (page.runs / "beta").exists()
    assert "beta" not in names(page)


def test_what_is_pruned_is_shown_before(page):
    features = page.runs / "alpha/generation_000/features.safetensors"
    page.locator("input[aria-label='Select alpha']").check()
    page.locator("#prune").click()
    page.wait_for_selector("#lean li:has-text('features of 0')")
    place = page.locator("#lean input[value=samples]").bounding_box()
    page.locator("#lean input[value=features]").uncheck()
    page.wait_for_selector("#lean li:has-text('nothing')")
    page.locator("#lean input[value=models]").uncheck()
    assert page.locator("#lean-yes").is_disabled(), "nothing is asked for"
    page.locator("#lean input[value=samples]").check()
    page.wait_for_selector("#lean-refused:has-text('may read samples')")
    same = page.locator("#lean input[value=samples]").bounding_box()
    assert same == place, "what is clicked moves away when an answer comes"
    page.locator("#lean-no").click()
    assert features.exists()

    page.locator("#prune").click()
    page.locator("#lean input[value=samples]").uncheck()
    page.locator("#lean input[value=features]").check()
    page.wait_for_selector("#lean li:has-text('features of 0')")
    with page.expect_navigation():
        page.locator("#lean-yes").click()
    assert not features.exists()


def test_it_fits_the_screen_and_is_accessible(page):
    width = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    for dialog in ("", "#delete", "#prune"):
        if dialog:
            page.keyboard.press("Escape")
            page.locator("#all").check()
            page.locator(dialog).click()
        violations = axe.Axe().run(page).response["violations"]
        assert [
            each["id"] for each in violations if each["impact"] in ("serious", "critical")
        ] == []
