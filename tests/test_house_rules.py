"""The rules of the house that no linter holds; CONTRIBUTING.md says why each of them is there."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import pytest

from tests.conftest import ROOT

EMPTY_NAMES = {"found", "told", "kept", "made", "own", "known", "there", "given"}
LONG_FUNCTIONS = {
    "imglab/images/image_reading.py open_images",
    "imglab/loop.py chain_events",
    "imglab/reading/layout.py read_layout",
    "imglab/text/data.py load_real_text",
}
"""Functions of more than 40 lines, as `file name`: at most four."""

LONG_FILES: set[str] = set()
"""Files of more than 300 lines: at most four."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A Python file: its text, its tree, and the rows that part its code into paragraphs."""

    name: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @cached_property
    def breaks(self) -> set[int]:
        """Rows of comments and blank rows, those within strings left out."""
        texts = (node for node in ast.walk(self.tree) if isinstance(node, ast.Constant))
        within = {row for node in texts for row in range(node.lineno, (node.end_lineno or 0) + 1)}
        lines = enumerate(self.text.splitlines(), 1)
        blank = {row for row, line in lines if not line.strip()} - within

        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return blank | {each.start[0] for each in tokens if each.type == tokenize.COMMENT}


def body(function: Function) -> list[ast.stmt]:
    """The statements of a function without its docstring."""
    return function.body[ast.get_docstring(function) is not None :]


def code_length(function: Function) -> int:
    """Lines from `def` to the end, without those of the docstring."""
    docstring = function.body[0] if len(body(function)) < len(function.body) else None
    return len(lines_of(function)) - (len(lines_of(docstring)) if docstring else 0)


def lines_of(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or 0) + 1)


# Each rule yields what breaks it.


def empty_names(source: Source) -> Iterator[str]:
    """Locals and parameters whose name does not say what they hold."""
    nodes = {id(node): node for function in source.functions for node in ast.walk(function)}
    for node in nodes.values():
        name = node.arg if isinstance(node, ast.arg) else None
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        if name in EMPTY_NAMES:
            yield f"{source.name}:{getattr(node, 'lineno', 0)} {name}"


def long_functions(source: Source) -> Iterator[str]:
    """Functions of more than 40 lines from `def` to the end, those of the docstring included."""
    for function in source.functions:
        if len(lines_of(function)) > 40:
            yield f"{source.name} {function.name}"


def long_files(source: Source) -> Iterator[str]:
    """Files of more than 300 lines."""
    if len(source.text.splitlines()) > 300:
        yield source.name


def packed_functions(source: Source) -> Iterator[str]:
    """Functions of 12 lines of code or more without a blank line or a comment in the body."""
    for function in source.functions:
        statements = body(function)
        if code_length(function) >= 12 and statements:
            rows = range(statements[0].lineno, (function.end_lineno or 0) + 1)
            if source.breaks.isdisjoint(rows):
                yield f"{source.name}:{function.lineno} {function.name}"


def conditional_expressions(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.IfExp):
            yield f"{source.name}:{node.lineno}"


def conditional_statements(source: Source) -> Iterator[str]:
    """Conditional expressions that stand alone, for what they do."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.IfExp):
            yield f"{source.name}:{node.lineno}"


def tuple_assignments(source: Source) -> Iterator[str]:
    """`a, b = x, y`; a swap, in which a value reads what the other side writes, needs the tuple."""
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)):
            continue
        for target in node.targets:
            if isinstance(target, ast.Tuple):
                written = {ast.unparse(part) for part in target.elts}
                read = {ast.unparse(part) for part in ast.walk(node.value) if is_read(part)}
                if written.isdisjoint(read):
                    yield f"{source.name}:{node.lineno} {ast.unparse(node)}"


def is_read(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute | ast.Subscript)


LINES = "    x = 1\n"
DOCSTRING = '    """A\n    B."""\n'
TEXT = "    x = '''\n\n'''\n"
BAD: list[tuple[Callable[[Source], Iterator[str]], str, str]] = [
    (empty_names, "def f():\n    found = 1\n", "def f():\n    hashes = 1\n"),
    (empty_names, "def f(told):\n    pass\n", "kept = 1\n"),
    (long_functions, f"def f():\n{DOCSTRING}{LINES * 38}", f"def f():\n{DOCSTRING}{LINES * 37}"),
    (long_files, "x = 1\n" * 301, "x = 1\n" * 300),
    (packed_functions, f"def f():\n{LINES * 11}", f"def f():\n{LINES * 5}\n{LINES * 5}"),
    (packed_functions, f"def f():\n{LINES * 10}{TEXT}", f"def f():\n{LINES * 10}"),
    (packed_functions, f"def f():\n\n{LINES * 11}", f"def f():\n{LINES * 9}    # y\n{LINES}"),
    (conditional_expressions, "x = 1 if y else 2\n", "if y:\n    x = 1\n"),
    (conditional_statements, "f() if y else g()\n", "x = 1 if y else 2\n"),
    (tuple_assignments, "a, b = 1, c\n", "a, b = b, a + b\n"),
    (tuple_assignments, "a = b, c = 1, 2\n", "a, b = f()\n"),
]


@pytest.mark.parametrize(("rule", "bad", "good"), BAD)
def test_a_rule_finds_what_breaks_it_and_nothing_else(rule, bad, good):
    assert len(list(rule(Source("bad.py", bad)))) == 1
    assert not list(rule(Source("good.py", good)))


@pytest.fixture(scope="module")
def package() -> list[Source]:
    paths = sorted((ROOT / "imglab").rglob("*.py"))
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]


@pytest.mark.parametrize("rule", [empty_names, conditional_statements, tuple_assignments])
def test_nothing_breaks_the_rule(rule, package):
    assert not [offender for source in package for offender in rule(source)]


@pytest.mark.parametrize(
    ("rule", "exceptions"), [(long_functions, LONG_FUNCTIONS), (long_files, LONG_FILES)]
)
def test_a_function_and_a_file_can_be_read_at_once(rule, exceptions, package):
    assert {offender for source in package for offender in rule(source)} == exceptions
    assert len(exceptions) <= 4


def test_longer_functions_have_paragraphs(package):
    longer = sum(code_length(each) >= 12 for source in package for each in source.functions)
    packed = [offender for source in package for offender in packed_functions(source)]
    assert longer > 200
    assert len(packed) <= 0.35 * longer, packed


def test_conditional_expressions_are_rare(package):
    lines = sum(len(source.text.splitlines()) for source in package)
    conditional = [offender for source in package for offender in conditional_expressions(source)]
    assert len(conditional) <= 1.5 * lines / 100, conditional


def test_files_have_their_folders():
    assert len(list((ROOT / "imglab").glob("*.py"))) <= 20


def test_the_chain_fits_on_a_screen():
    assert len((ROOT / "imglab/loop.py").read_text().splitlines()) <= 150


def test_contributing_shows_the_map_of_the_wings(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from wing_map import wing_map

    shown = (ROOT / "CONTRIBUTING.md").read_text()
    assert wing_map() in shown, "run: python scripts/wing_map.py --write"
    assert max(map(len, wing_map().splitlines())) <= 100
