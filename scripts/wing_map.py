"""Print the map of the wings that CONTRIBUTING.md shows: each folder, its docstring's first line.

    python scripts/wing_map.py          print it
    python scripts/wing_map.py --write  put it into CONTRIBUTING.md

The wings stand in the order of the layers in pyproject.toml, the top one first.
"""

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAYERS = re.compile(r"(?<=^layers = \[).*?(?=^\])", re.M | re.S)
PLACE = re.compile(r"(?<=<!-- wings -->\n).*?(?=<!-- end of wings -->)", re.S)


def wings() -> list[Path]:
    """Return the folders of imglab, each before the folders in it."""
    (layers,) = LAYERS.findall((ROOT / "pyproject.toml").read_text())
    parts = [ROOT / "imglab" / part for part in re.findall(r"\w+", layers)]
    paths = [path for part in parts for path in sorted([part, *part.rglob("*")])]
    return [path for path in paths if (path / "__init__.py").is_file()]


def wing_map() -> str:
    """Return a line for each wing, indented as Markdown's code blocks are."""
    lines = []
    for wing in wings():
        docstring = ast.get_docstring(ast.parse((wing / "__init__.py").read_text())) or ""
        name = f"{wing.relative_to(ROOT / 'imglab')}/"
        lines.append(f"    {name:<21} {docstring.splitlines()[0]}\n")
    return "".join(lines)


if __name__ == "__main__":
    if "--write" in sys.argv:
        page = ROOT / "CONTRIBUTING.md"
        page.write_text(PLACE.sub(lambda _: f"\n{wing_map()}\n", page.read_text()))
    else:
        print(wing_map(), end="")
