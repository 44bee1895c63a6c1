"""A test that cannot fail proves nothing: each one asserts, itself or through a helper.

A helper is a function of the test's own file, or of a file of tests/ from which it imports.
"""

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

from tests.conftest import ROOT

ASSERTING = {
    "raises",
    "fail",
    "warns",
    "assert_close",
    "assert_allclose",
    "expect",
    "check_modality",
    "check_remedy",
    "check_memory",
}


def calls(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", ""))


def without_assertion(tree: ast.Module, helpers: Sequence[ast.Module] = ()) -> list[str]:
    files = [tree, *helpers]
    functions = [node for file in files for node in ast.walk(file) if is_function(node)]
    asserting = set(ASSERTING)
    for _ in functions:  # helpers that call helpers: until nothing is added
        before = len(asserting)
        for function in functions:
            if any(isinstance(node, ast.Assert) for node in ast.walk(function)) or asserting & {
                *calls(function)
            }:
                asserting.add(function.name)
        if len(asserting) == before:
            break
    return [
        each.name
        for each in ast.walk(tree)
        if is_function(each) and each.name.startswith("test_") and each.name not in asserting
    ]


def is_function(node: ast.AST) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef)


def imported(tree: ast.Module) -> list[ast.Module]:
    """The files of tests/ from which a file imports."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    modules = {node.module for node in imports if (node.module or "").startswith("tests.")}
    paths = [ROOT / f"{module.replace('.', '/')}.py" for module in modules if module]
    paths = [path for path in paths if path.exists()]  # a folder of tests defines nothing itself
    return [ast.parse(path.read_text()) for path in paths]


def test_every_test_asserts():
    files = sorted(Path(__file__).parent.rglob("test_*.py"))
    assert len(files) > 30
    assert not {
        f"{path.name}: {name}"
        for path in files
        for tree in [ast.parse(path.read_text())]
        for name in without_assertion(tree, imported(tree))
    }


def test_a_test_without_is_found():
    tree = ast.parse(
        "def look(x):\n    assert x\n\n"
        "def test_a():\n    look(1)\n\n"
        "def test_b():\n    print(1)\n\n"
        "class TestC:\n    def test_c(self):\n        with raises(ValueError):\n            pass\n"
    )
    assert without_assertion(tree) == ["test_b"]


def test_a_helper_may_be_imported():
    helper = ast.parse("def look(x):\n    assert x\n")
    test = ast.parse("def test_a():\n    look(1)\n")
    assert without_assertion(test, [helper]) == []
    assert without_assertion(test) == ["test_a"]
