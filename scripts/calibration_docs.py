"""Print the tables of calibrations; --write: put them into docs/metrics.md; --take DIR: a new one.

    python scripts/calibration_docs.py --take runs/calibration
    python scripts/calibration_docs.py --write

Results are docs/calibration/*.json, pictures docs/images/calibration_*.png.
"""

import io
import json
import re
import sys
from pathlib import Path

from PIL import Image

from imglab.report.figures import png
from imglab.studies.calibration.figure import calibration_figure
from imglab.studies.calibration.table import RESULT, calibration_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = DOCS / "metrics.md"
PLACE = re.compile(r"(?<=<!-- calibration -->\n).*?(?=<!-- end of calibration -->)", re.S)


def take(folder: Path) -> None:  # numbers are rounded to four digits
    result = json.loads(
        (folder / RESULT).read_text(), parse_float=lambda number: float(f"{float(number):.4g}")
    )
    name = result["name"]
    (DOCS / "calibration" / f"{name}.json").write_text(json.dumps(result) + "\n")

    picture = Image.open(io.BytesIO(png(calibration_figure(result)))).convert("RGB")
    picture.quantize(32).save(DOCS / "images" / f"calibration_{name}.png", optimize=True)


def calibration_docs() -> str:
    sections = []
    for path in sorted((DOCS / "calibration").glob("*.json")):
        result = json.loads(path.read_text())
        picture = f"![Metric by damage](images/calibration_{result['name']}.png)"
        head = f"## Calibration of `{result['name']}`\n\n{picture}"
        sections.append(f"{head}\n\n{calibration_table(result)}")
    return "\n".join(sections)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--take"]:
        take(Path(sys.argv[2]))
    elif "--write" in sys.argv:
        new = PLACE.sub(lambda _: f"\n{calibration_docs()}\n", PAGE.read_text())
        PAGE.write_text(new)
    else:
        print(calibration_docs(), end="")
