"""Public functions of more than two arguments say what each of them is, in numpydoc."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository import ROOT

PACKAGES = ("plugin", "dicom_io", "engine", "training", "reporting")
MOST_WITHOUT = 2
# "Answer as `ReportEngine.ask` does": what a protocol asks for is said there
REFERENCE = re.compile(r"\b(?:as|see) `[\w.]+`")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def arguments(function: Function) -> list[str]:
    every = function.args
    named = [*every.posonlyargs, *every.args, *every.kwonlyargs]
    return [one.arg for one in named if one.arg.strip("_") not in ("self", "cls", "")]


def described(docstring: str) -> set[str]:
    """Return the names that stand before a colon in the section Parameters."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-{3,}$|\Z)", docstring, re.M | re.S)
    lines = re.findall(r"^([\w*][\w*, ]*?)(?: :.*)?$", section[1] if section else "", re.M)
    return {name.strip("* ") for line in lines for name in line.split(",")}


def public(body: list[ast.stmt], of: ast.ClassDef | None = None) -> Iterator[tuple[str, Function]]:
    """Yield each public function and method after the docstring that has to describe it."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public(node.body, node)
        elif isinstance(node, Function) and of and node.name == "__init__":
            yield ast.get_docstring(of) or "", node
        elif isinstance(node, Function) and not node.name.startswith("_"):
            yield ast.get_docstring(node) or "", node


def is_command(function: Function) -> bool:
    """The options of a command have their help."""
    return any("command" in ast.unparse(one) for one in function.decorator_list)


def undescribed(path: Path) -> Iterator[str]:
    """Yield the functions with arguments of which neither they nor what they refer to say more."""
    for docstring, function in public(ast.parse(path.read_text("utf-8")).body):
        names = arguments(function)
        refers = REFERENCE.search(docstring)
        if len(names) > MOST_WITHOUT and not refers and not is_command(function):
            missing = [name for name in names if name not in described(docstring)]
            if missing:
                yield f"{function.name} (line {function.lineno}): {', '.join(missing)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_arguments_are_described(package: str) -> None:
    others = {"migrations", "node_modules"}
    modules = [path for path in (ROOT / package).rglob("*.py") if others.isdisjoint(path.parts)]
    found = [f"{path.relative_to(ROOT)}, {one}" for path in modules for one in undescribed(path)]
    assert found == []
