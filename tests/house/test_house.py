"""The house keeps its own rules."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import vital_engine
from vital_engine import errors, turn
from vital_engine.modes.settings import KEYS
from vital_engine.settings import KEYS as DEPLOYMENT

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vital_engine"
MODULES = sorted(SOURCE.rglob("*.py"))
DOCS = "\n".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def test_the_tree_is_the_order_of_a_turn() -> None:
    steps = [m.name for m in pkgutil.iter_modules(turn.__path__)]
    assert set(steps) == {*turn.ORDER, *turn.BEFOREHAND}
    flows = (SOURCE / "turn" / "__init__.py").read_text(encoding="utf-8")
    assert re.findall(r"^    (\w+)  ", flows, re.MULTILINE)[: len(turn.ORDER)] == list(turn.ORDER)


def test_a_module_is_one_idea() -> None:
    long = {
        str(p.relative_to(SOURCE)): n for p in MODULES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 600
    }
    assert not long


def test_names_say_something() -> None:
    empty = re.compile(r"(Manager|Helper|Util|Utils|Handler|Processor|Enhanced|Unified)$", re.IGNORECASE)
    bad = [p.stem for p in MODULES if empty.search(p.stem)]
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        bad += [n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and empty.search(n.name)]
    assert not bad


def test_every_module_and_public_class_says_what_it_is() -> None:
    silent = []
    for path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree) and tree.body:
            silent.append(str(path.relative_to(SOURCE)))
    assert not silent


def test_the_broad_except_stands_only_where_a_failure_becomes_a_value() -> None:
    allowed = {"flow/run.py", "flow/together.py", "flow/events.py", "flow/offload.py", "flow/step.py"}
    broad = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            names = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"BaseException"}
            reraised = any(isinstance(n, ast.Raise) and n.exc is None for n in ast.walk(node))
            if names & {"Exception", "BaseException"} and not reraised:
                broad.add(str(path.relative_to(SOURCE)))
    assert {b for b in broad if not b.startswith(("monitoring/", "testing/"))} <= allowed


def test_each_error_has_a_code_of_its_own_and_stands_in_the_tree() -> None:
    classes = [getattr(errors, name) for name in errors.__all__]
    codes = [c.__dict__.get("code") for c in classes]
    assert None not in codes
    assert len(codes) == len(set(codes))
    assert all(name in (errors.__doc__ or "") for name in errors.__all__)


def test_each_error_and_its_code_is_in_the_docs() -> None:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for name in errors.__all__:
        assert f"| `{getattr(errors, name).code}` | `{name}` |" in page


def test_public_names_are_pinned_and_load() -> None:
    assert vital_engine.__all__ == [
        "Answer",
        "Limits",
        "Mode1ManualWorkflow",
        "Mode2AutomaticWorkflow",
        "Mode3ChatManualWorkflow",
        "Mode4ChatAutomaticWorkflow",
        "ParallelBaseWorkflow",
        "Question",
        "ApprovalDecision",
        "Services",
        "__version__",
        "open_app",
        "tool",
    ]
    for name in vital_engine.__all__:
        assert getattr(vital_engine, name) is not None


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, vital_engine; print([m for m in ('langgraph', 'onnxruntime', 'openai', 'fastapi', 'psycopg') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["flow", "turn", "nouns", "modes", "monitoring", "testing", "store"])
def test_a_packages_names_are_all_there(package: str) -> None:
    module = importlib.import_module(f"vital_engine.{package}")
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("key", [*KEYS, *DEPLOYMENT])
def test_every_setting_is_in_the_docs(key: str) -> None:
    assert f"`{key}`" in DOCS


def test_every_dependency_is_in_the_docs_with_its_reason() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    docs = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    names = [re.split(r"[><=;\[ ]", dependency)[0] for dependency in named]
    assert [name for name in names if f"`{name}`" not in docs] == []


def test_nothing_committed_names_a_registry_or_a_machine() -> None:
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(r"https?://\S*(/simple/|/packages/|\.whl|\.tar\.gz)|(?<![\w.])/(root|work)/")
    for name in listed:
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".in", ".yaml", ".sql"} or name in {"Makefile", ".ci/run"}:
            found = pattern.search(path.read_text(encoding="utf-8")) if path.name != "test_house.py" else None
            assert not found, (name, found)
