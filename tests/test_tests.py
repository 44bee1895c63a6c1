"""A test that cannot fail proves nothing: each one asserts, itself or through a helper of its own file."""

import ast
from collections.abc import Iterator
from pathlib import Path

ASSERTING = {
    "raises",
    "fail",
    "warns",
    "assert_close",
    "assert_allclose",
    "expect",
    "check_modality",
}


def calls(function: ast.AST) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", ""))


def without_assertion(tree: ast.Module) -> list[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    asserting = set(ASSERTING)
    for _ in functions:  # helpers that call helpers: until nothing is added
        known = len(asserting)
        for function in functions:
            if any(isinstance(node, ast.Assert) for node in ast.walk(function)) or asserting & {
                *calls(function)
            }:
                asserting.add(function.name)
        if len(asserting) == known:
            break
    return [
        each.name
        for each in functions
        if each.name.startswith("test_") and each.name not in asserting
    ]


def test_every_test_asserts():
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    assert len(files) > 30
    assert not {
        f"{path.name}: {name}"
        for path in files
        for name in without_assertion(ast.parse(path.read_text()))
    }


def test_a_test_without_is_found():
    tree = ast.parse(
        "def look(x):\n    assert x\n\ndef test_a():\n    look(1)\n\ndef test_b():\n    print(1)\n\n"
        "class TestC:\n    def test_c(self):\n        with raises(ValueError):\n            pass\n"
    )
    assert without_assertion(tree) == ["test_b"]
