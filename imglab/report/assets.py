"""The templates, the style and the script of pages, as files of the package."""

from __future__ import annotations

from importlib.resources import files as resources

from jinja2 import Environment, Template
from markupsafe import Markup


def asset(name: str) -> str:
    """Return the text of a file in the folder `page`."""
    return (resources("imglab.report") / "page" / name).read_text(encoding="utf-8")


def style() -> Markup:
    """Return the style of all pages."""
    return Markup(asset("page.css"))


def template(name: str) -> Template:
    """Return a page's template, which escapes every value that is not marked as HTML."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(asset(name))
