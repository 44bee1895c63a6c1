"""Print the reference of all commands as Markdown; --write: put it into docs/commands.md.

python scripts/command_docs.py --write
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from imglab.cli.app import app

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
HEAD = """# Every command

Made from the commands themselves by `python scripts/command_docs.py --write`. `imglab COMMAND
--help` prints an entry.

Every command ends with exit code 0; 2 where something in the input is wrong, which it says in full;
3 where a run was stopped or waits for a person; or 1 where imglab itself is at fault.
"""


def command_docs() -> str:
    """Return the page: a section for each command."""
    group: Any = typer.main.get_command(app)
    context = group.make_context("imglab", [], resilient_parsing=True)
    names = group.list_commands(context)
    sections = [_section(name, group.get_command(context, name), context) for name in names]
    return HEAD + "".join(sections)


def _section(name: str, command: Any, parent: Any) -> str:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    usage = " ".join(["imglab", name, *command.collect_usage_pieces(context)])
    text = inspect.cleandoc(command.help or "")
    return f"\n## {name}\n\n    {usage}\n\n{_with_examples(text)}\n" + "".join(
        _table(command, context)
    )


def _with_examples(text: str) -> str:
    """Return help text in which the line of an example is set as code."""
    lines = []
    for line in text.splitlines():
        label, _, example = line.partition("Example: ")
        if example and not label:
            lines += ["Example:", "", f"    {example}"]
        else:
            lines.append(line)
    return "\n".join(lines)


def _table(command: Any, context: Any) -> Iterator[str]:
    """Yield the table of a command's arguments and options, if it has any."""
    rows = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    rows = [row for row in rows if row and not row[0].startswith("--help")]
    if not rows:
        return
    yield "\n| | |\n|---|---|\n"
    for name, text in rows:
        cells = [name.strip(), " ".join(text.split())]
        cells = [cell.replace("|", "\\|") for cell in cells]
        yield f"| `{cells[0]}` | {cells[1]} |\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(command_docs())
    else:
        print(command_docs(), end="")
