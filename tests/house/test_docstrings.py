"""Everything public says what it is, in one style and in plain words; so do the guides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vital_engine"
MODULES = sorted(SOURCE.rglob("*.py"))
GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

PRIVATE_ENGLISH = re.compile(r"\b(nobody|whoever|somebody)\b|\bis told\b", re.IGNORECASE)
"""Words that read as a tale. Say what the engine does, and what you do."""
OTHER_STYLES = re.compile(
    r"^\s*(Args|Arguments|Parameters|Returns|Raises|Yields):?\s*$|:return:|:type |:rtype:|:throws", re.MULTILINE
)
RAISES_IN_PROSE = re.compile(
    r"(?:\bRaises [A-Z]\w+|\b[A-Z]\w+(?:Error|Found|Arguments|Capacity|Conflict|Expired) (?:if|for|where|when) )"
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(path: Path) -> Iterator[tuple[str, Definition]]:
    """Public classes, functions and methods of a module, by qualified name; not those inside a function."""

    def walk(body: list[Any], prefix: str) -> Iterator[tuple[str, Definition]]:
        for node in body:
            if isinstance(node, Definition) and not node.name.startswith("_"):
                yield prefix + node.name, node
                if isinstance(node, ast.ClassDef):
                    yield from walk(node.body, f"{prefix}{node.name}.")

    return walk(ast.parse(path.read_text(encoding="utf-8")).body, "")


def decorators(node: Definition) -> set[str]:
    return {getattr(each, "id", getattr(each, "attr", "")) for each in node.decorator_list}


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Every docstring of a module, also of what is private, and the texts below constants."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield f"{path.relative_to(SOURCE)}:{node.lineno}", node.value.value


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_everything_public_says_what_it_is(path: Path) -> None:
    silent = [
        name
        for name, node in definitions(path)
        if not ast.get_docstring(node) and not decorators(node) & {"overload", "setter"}
    ]
    assert silent == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_what_is_raised_is_a_field(path: Path) -> None:
    prose = []
    for name, node in definitions(path):
        said = " ".join((ast.get_docstring(node) or "").split())
        fields = re.sub(r":(?:param|raises|returns).*", "", said)
        if RAISES_IN_PROSE.search(fields) or OTHER_STYLES.search(ast.get_docstring(node) or ""):
            prose.append(name)
    assert prose == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_described_parameter_exists(path: Path) -> None:
    """``:param x:`` of a function names one of its parameters; of a class, one of its fields or of its ``__init__``."""
    wrong = []
    for name, node in definitions(path):
        described = re.findall(r"^:param \*{0,2}(\w+):", ast.get_docstring(node) or "", re.MULTILINE)
        if described and not set(described) <= parameters(node):
            wrong.append((name, sorted(set(described) - parameters(node))))
    assert wrong == []


def parameters(node: Definition) -> set[str]:
    if not isinstance(node, ast.ClassDef):
        given = node.args
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        return {argument.arg for argument in every if argument is not None}
    names = {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    for each in node.body:
        if isinstance(each, Definition) and each.name in ("__init__", "__new__"):
            names |= parameters(each)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_docstrings_are_plain_english(path: Path) -> None:
    assert [(place, found[0]) for place, said in docstrings(path) if (found := PRIVATE_ENGLISH.search(said))] == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_guides_are_plain_english(page: Path) -> None:
    """Code, and names in it, may say anything: it is quoted."""
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    if page.name == "CONTRIBUTING.md":  # the table of style quotes what not to write
        text = "\n".join(line for line in text.splitlines() if not line.startswith("|"))
    assert [line.strip() for line in text.splitlines() if PRIVATE_ENGLISH.search(line)] == []
