"""The page in a real browser: what moves, what can be reached, and that nothing leaves it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import imglab
from imglab.report.build import write_report
from imglab.report.live import LiveReport
from tests.tiny_chains import TINY_GAUSSIAN

# A browser takes seconds to open, and `.ci/run browser` asks for these tests by name.
pytestmark = pytest.mark.slow

CHROMIUM = (
    os.environ.get("IMGLAB_CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
)
SHOTS = os.environ.get("IMGLAB_SCREENSHOTS")
"""Folder that keeps screenshots, if it is named."""


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium here; install Debian's `chromium` or set IMGLAB_CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def page_file(finished_runs, tmp_path_factory) -> Path:
    out: Path = tmp_path_factory.mktemp("page") / "report.html"
    write_report([finished_runs[name] for name in ("replace", "mixed", "texts")], out)
    return out


@pytest.fixture(params=["light", "dark"])
def page(request, browser, page_file):
    context = browser.new_context(
        viewport={"width": 1300, "height": 900}, color_scheme=request.param
    )
    opened = context.new_page()
    opened.wrong, opened.asked = [], []
    opened.on(
        "console",
        lambda message: opened.wrong.append(message.text) if message.type == "error" else None,
    )
    opened.on("pageerror", lambda error: opened.wrong.append(str(error)))
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.goto(page_file.as_uri())
    opened.wait_for_selector("body[data-ready]")
    yield opened
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        name = request.node.name.replace("[", "-").replace("]", "")
        opened.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)
    assert opened.wrong == []
    context.close()


def sources(page):
    return page.eval_on_selector_all(
        ".arm.now img.base", "images => images.map(image => image.src)"
    )


def marks(page):
    return page.eval_on_selector_all(
        ".chart .now", "lines => lines.map(line => line.getAttribute('transform'))"
    )


def test_the_slider_moves_every_panel(page):
    assert page.locator("#told").inner_text() == "generation 2 of 2"
    pinned = page.locator(".arm.pinned img").first.get_attribute("src")
    last, texts, marked = sources(page), page.locator(".arm.now .texts").inner_text(), marks(page)
    assert pinned not in last
    page.locator("#generation").focus()
    page.keyboard.press("Home")
    assert page.locator("#told").inner_text() == "generation 0 of 2"
    assert set(sources(page)) == {pinned}, "generation 0 is the one that is pinned"
    assert page.locator(".arm.now .texts").inner_text() != texts
    assert all(before != after for before, after in zip(marked, marks(page), strict=True))
    page.locator("h1").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert sources(page) == last
    assert page.locator(".arm.now .which").nth(1).inner_text() == "generation 1, its last so far"
    assert page.locator(".arm.pinned img").first.get_attribute("src") == pinned


def test_the_slider_by_mouse(page):
    slider = page.locator("#generation")
    last, box = sources(page), slider.bounding_box()
    page.mouse.click(box["x"] + 4, box["y"] + box["height"] / 2)
    assert page.locator("#told").inner_text() == "generation 0 of 2"
    assert sources(page) != last
    page.mouse.click(box["x"] + box["width"] - 4, box["y"] + box["height"] / 2)
    assert sources(page) == last


def test_it_plays_to_the_end(page):
    page.locator("#play").click()
    assert page.locator("#play").inner_text() == "Pause"
    page.wait_for_function(
        "document.getElementById('told').textContent === 'generation 2 of 2'", timeout=5000
    )
    page.wait_for_function("document.getElementById('play').textContent === 'Play'", timeout=5000)


def test_an_image_opens_its_history_and_its_neighbours(page):
    page.locator(".arm.now .cells button").nth(4).click()
    dialog = page.locator("#closer")
    assert "Image 5 of replace" in dialog.inner_text()
    assert dialog.locator(".tiles").first.locator(".tile").count() == 3, "one for each generation"
    assert dialog.locator(".tiles").nth(1).locator(".tile").count() == 3, "the nearest real ones"
    assert "distance" in dialog.inner_text()
    shape = dialog.locator(".tile i").first.bounding_box()
    assert shape["width"] == shape["height"] == 96
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_a_text_opens_its_history_and_its_neighbours(page):
    page.locator(".arm.now .texts button").first.click()
    dialog = page.locator("#closer")
    assert "Text 1 of texts" in dialog.inner_text()
    assert dialog.locator(".history").first.locator("p").count() == 3
    assert dialog.locator(".history").nth(1).locator("p").count() == 3
    dialog.locator("button").click()
    assert not dialog.is_visible()


def test_the_grid_is_reached_by_keyboard(page):
    cells = page.locator(".arm.now .cells").first
    assert cells.locator("button[tabindex='0']").count() == 1, (
        "one stop of the tab key for each grid"
    )
    cells.locator("button").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.locator("#told").inner_text() == "generation 2 of 2", "the arrows stay in the grid"
    page.keyboard.press("Enter")
    assert "Image 5 of replace" in page.locator("#closer").inner_text()


def test_views_against_generation_0(page):
    over = page.locator(".arm.now img.over").first
    assert not over.is_visible()
    page.locator("input[value=difference]").check()
    assert over.is_visible()
    assert over.evaluate("image => getComputedStyle(image).mixBlendMode") == "difference"
    page.locator("input[value=flicker]").check()
    page.wait_for_function("document.body.classList.contains('odd')", timeout=3000)
    assert over.is_visible()
    page.locator("input[value=beside]").check()
    assert not over.is_visible()


def test_the_name_of_an_arm_hides_its_lines(page):
    name = page.locator("[data-toggles='1']")
    lines = page.locator(".group .line.s1")
    name.focus()
    page.keyboard.press("Enter")
    assert name.get_attribute("aria-pressed") == "false"
    assert not lines.first.is_visible()
    assert page.locator(".group .line.s0").first.is_visible()
    name.click()
    assert lines.first.is_visible()


def test_a_long_chart_says_what_the_pointer_is_over(browser, tmp_path):
    run = imglab.Run.from_dict(TINY_GAUSSIAN, tmp_path / "run", {"generations": 32})
    list(run.generations())
    write_report([tmp_path / "run"], tmp_path / "page.html")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_selector("body[data-ready]")
    chart = page.locator(".chart:has(.line[data-values])").first
    box = chart.bounding_box()
    assert not page.locator(".tip").is_visible()
    chart.hover(position={"x": box["width"] - 12, "y": box["height"] / 2})
    said = page.locator(".tip").inner_text().splitlines()
    assert said[0] == "generation 31"
    number = said[1].split(": ")[1].split()[0]
    assert (
        chart.locator(".line").get_attribute("data-values").split(",")[31].split(":")[1] == number
    )
    page.mouse.move(0, 0)
    assert not page.locator(".tip").is_visible()
    page.close()


def test_arrow_keys_move_generations_whatever_the_view(page):
    page.locator("input[value=difference]").check()
    before = page.locator("#told").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#told").inner_text() != before
    assert page.locator("input[value=difference]").is_checked()


def test_arrow_keys_in_a_wide_table_scroll_it(page):
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    before = page.locator("#told").inner_text()
    page.locator(".scroll").first.focus()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#told").inner_text() == before


def test_the_pinned_image_shows_what_is_near_to_it(page):
    page.locator(".arm.pinned .cells button").first.click()
    assert "Nearest real training samples to generation 0's" in page.locator("#closer").inner_text()


def test_paper_has_no_folds(page):
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


def test_nothing_moves_when_generations_change(page):
    def layout():
        return page.eval_on_selector_all(
            ".arm .stage, .chart", "nodes => nodes.map(n => n.getBoundingClientRect().y)"
        )

    before = layout()
    page.locator("#back").click()
    after = layout()
    stages = page.locator(".arm .stage").count()
    assert after[:stages] == before[:stages]


def test_pixels_are_crisp_and_fit_the_screen(page):
    image = page.locator(".arm.now img.base").first
    assert image.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    times = image.evaluate("image => image.getBoundingClientRect().width / image.naturalWidth")
    assert times == int(times), "every pixel of a sheet takes a whole number of the screen's"
    page.set_viewport_size({"width": 380, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_nothing_leaves_the_page(page):
    page.locator(".arm.now .cells button").first.click()
    assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []


def test_accessibility(page):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python"
    )
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    for opened in (False, True):
        if opened:
            page.locator(".arm.now .cells button").first.click()
        found = axe.Axe().run(page).response["violations"]
        serious = [
            (each["id"], [node["html"][:120] for node in each["nodes"][:3]])
            for each in found
            if each["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_the_page_of_a_run_that_goes_on_follows_it(browser, finished_runs, tmp_path, monkeypatch):
    from playwright import sync_api

    monkeypatch.setattr("imglab.report.live.PATIENCE", 0.0)
    run = shutil.copytree(finished_runs["replace"], tmp_path / "run")
    later = (run / "generation_002").rename(tmp_path / "later")
    with LiveReport(run) as live:
        opened = browser.new_page()
        opened.goto(live.url)
        opened.wait_for_selector("body[data-ready]")
        assert opened.locator("#told").inner_text() == "generation 1 of 1"
        later.rename(run / "generation_002")
        sync_api.expect(opened.locator("#told")).to_have_text("generation 2 of 2", timeout=10_000)
        assert opened.locator("#live").inner_text() == "running"
        opened.close()
