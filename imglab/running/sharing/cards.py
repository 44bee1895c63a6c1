"""The cards of what is pushed: which generation of what it is, how good, and how to use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from imglab.config.yaml import dump_yaml
from imglab.errors import InputError, Problem
from imglab.safe_text import printable
from imglab.store.reading import read_metrics
from imglab.store.sealed_config import read_sealed

TAGS = ["model-collapse", "imglab"]
PAPER = "Shumailov et al. 2024 (Nature 631:755)"


@dataclass(frozen=True)
class Described:
    """What the cards of a run, of its models and of its samples say.

    name    of the run's folder
    config  with every key spelled out
    rows    the metrics of its generations
    """

    name: str
    config: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, run: Path) -> Described:
        """Read a run directory; InputError if none of its generations is finished."""
        rows = read_metrics(run)
        if not rows:
            raise InputError(Problem(str(run), "has no finished generation", "let it run first"))
        config = read_sealed(run / "config.yaml").model_dump(mode="json")
        return cls(run.resolve().name, config, rows)

    def run_card(self) -> str:
        """Return the card of the whole run."""
        name = self.name
        return f"""{_head(f"{name}: a chain of generative models", TAGS)}
{_what(self.config)} This is its whole run directory: models, samples, metrics and pictures of
{len(self.rows)} generations, each file with its hash.

{_verdict(self.rows)}

{_table(self.rows)}
    imglab pull THIS {name}
    imglab report {name}              # the page: curves, grids, what the numbers say
    imglab run CONFIG --out {name}    # the same config goes on where it stopped

## The config

```yaml
{dump_yaml(_without_places(self.config)).rstrip()}
```
"""

    def model_card(self, g: int, card: str) -> str:
        """Return the card of generation g's model; `card` is the one that lies in its folder."""
        return f"""{_head(f"Generation {g} of {self.name}", TAGS)}
The model of generation {g} of the chain `{self.name}`. {_what(self.config)}
{_lineage(g)}

{_verdict(self.rows)}

{_table([self.rows[g]])}
{_without_head(card)}
"""

    def samples_card(self, g: int, count: int) -> str:
        """Return the card of the samples that generation g drew."""
        title = f"{count:,} synthetic samples of generation {g} of {self.name}"
        return f"""{_head(title, [*TAGS, "synthetic"])}
Drawn by the model of generation {g} of the chain `{self.name}`, none of them real.
{_what(self.config)} {_lineage(g)} `manifest.json` has the row and the hash of every file.

Who trains on this data set should mark it as synthetic: models that learn from what models drew,
and nothing else, lose what is rare first ({PAPER}).

{_verdict(self.rows)}

{_table([self.rows[g]])}"""


def _head(title: str, tags: Sequence[str]) -> str:
    return f"---\n{dump_yaml({'tags': list(tags)})}---\n\n# {printable(title)}\n"


def _without_head(card: str) -> str:
    """Return a card without the lines in YAML that only the hub reads."""
    _, mark, rest = card.partition("\n---\n")
    if mark and card.startswith("---"):
        return rest.strip()
    return card.strip()


def _without_places(tree: Any) -> Any:
    """Return a config in which paths of this machine are their last names."""
    if isinstance(tree, Mapping):
        return {key: _without_places(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_without_places(value) for value in tree]
    if isinstance(tree, str) and tree.startswith("/"):
        return PurePath(tree).name
    return tree


def _what(config: Mapping[str, Any]) -> str:
    """Say in a sentence what kind of chain it is."""
    regime = config["regime"]["kind"]
    kind = config["modality"]["kind"]
    start = config["start"]
    return f"Data: `{kind}`; regime: `{regime}`; every generation starts from: `{start}`."


def _lineage(g: int) -> str:
    if g == 0:
        return "Generation 0 learned from real data alone."
    return f"It learned from what generation {g - 1} and its forerunners left, as the regime says."


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say whether generation 0 was a good model, by the gate."""
    judged = rows[0].get("generation0") or {"verdict": "not judged", "reasons": []}
    if judged["verdict"] == "good":
        return "Generation 0 passed the gate: what follows is not its own poverty."
    reasons = printable("; ".join(judged["reasons"]))
    if judged["verdict"] == "poor":
        return f"Generation 0 is a **poor** model ({reasons}): read the rest with that."
    return f"Generation 0 was not judged: {reasons or 'it was made before there was a gate'}."


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the first metrics of some generations, in Markdown."""
    names = ("fid", "precision_bounded", "recall_bounded", "variance_ratio", "perplexity")
    shown = [name for name in names if any(name in row for row in rows)]
    lines = [
        f"| generation | {' | '.join(f'`{name}`' for name in shown)} |",
        f"|---|{'---|' * len(shown)}",
    ]
    for row in rows:
        cells = [_number(row.get(name)) for name in shown]
        lines.append(f"| {row['generation']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:.3g}"
    return "-"
