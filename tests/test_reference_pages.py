"""The reference in docs/ names every command and every public name, and reads as it should."""

from __future__ import annotations

import re

import imglab
from tests.conftest import ROOT


def test_the_page_of_commands_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from command_docs import command_docs

    page = (ROOT / "docs/commands.md").read_text()
    assert page == command_docs(), "run: python scripts/command_docs.py --write"


def test_the_page_of_python_shows_every_public_name():
    page = (ROOT / "docs/python.md").read_text()
    shown = set(re.findall(r'heading: "imglab\.(\w+)"', page))
    assert shown == set(imglab._HOME) | {"run"}


def test_what_is_made_of_another_function_says_what_it_does_itself():
    assert imglab.run_chain.__name__ == "run_chain"
    assert "Progress" not in (imglab.run_chain.__doc__ or "Progress")


def test_columns_of_a_docstring_become_a_list(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from docs_extension import as_markdown

    text = "Do it.\n\nn     how often, default: <n>\nseed  of what is\n      drawn\n\n>>> f(1)\n[2]"
    assert as_markdown(text) == (
        "Do it.\n\n- `n`: how often, default: &lt;n>\n- `seed`: of what is\n  drawn\n\n"
        "```pycon\n>>> f(1)\n[2]\n```"
    )


def test_the_readme_is_for_two_minutes():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 100
    assert len(readme.split()) <= 800
