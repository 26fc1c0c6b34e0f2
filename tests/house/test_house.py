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
from vital_engine.turn.plan import BY_NAME

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "vital_engine"
MODULES = sorted(SOURCE.rglob("*.py"))
DOCS = "\n".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def test_the_tree_is_the_order_of_a_turn() -> None:
    steps = [m.name for m in pkgutil.iter_modules(turn.__path__)]
    assert set(steps) == {*turn.ORDER, *turn.BESIDE}
    flows = (SOURCE / "turn" / "__init__.py").read_text(encoding="utf-8")
    named = re.findall(r"^    (\w+)  ", flows, re.MULTILINE)
    assert set(named) == set(steps)
    assert [name for name in named if name in turn.ORDER] == list(turn.ORDER)


LONGEST_MODULE = 600
SMALL_MODULE = 120
REASON = "stands alone because"


def test_a_module_is_one_idea() -> None:
    long = {
        str(p.relative_to(SOURCE)): n
        for p in MODULES
        if (n := len(p.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert not long


def test_a_small_module_with_one_importer_says_why_it_stands_alone() -> None:
    importers: dict[Path, set[Path]] = {path: set() for path in MODULES}
    for path in MODULES:
        for imported in _imported(path):
            if imported in importers and imported != path:
                importers[imported].add(path)
    false_splits = []
    for path, of in importers.items():
        name = path.relative_to(SOURCE)
        text = path.read_text(encoding="utf-8")
        if path.name == "__init__.py":
            continue
        said = " ".join((ast.get_docstring(ast.parse(text)) or "").split())
        if len(of) == 1 and len(text.splitlines()) < SMALL_MODULE and REASON not in said:
            false_splits.append(str(name))
    assert not false_splits


def _imported(path: Path) -> set[Path]:
    """The modules of ours that *path* imports, anywhere in it."""
    here = ("vital_engine", *path.relative_to(SOURCE).with_suffix("").parts)[:-1]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else ()
            module = ".".join((*base, *([node.module] if node.module else [])))
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    places = [ROOT.joinpath("src", *name.split(".")) for name in names if name.startswith("vital_engine")]
    return {p.with_suffix(".py") for p in places} | {p / "__init__.py" for p in places}


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
        if not ast.get_docstring(tree):
            silent.append(str(path.relative_to(SOURCE)))
    assert not silent


def test_every_package_says_what_it_may_import() -> None:
    packages = [p for p in MODULES if p.name == "__init__.py" and p.parent != SOURCE]
    doors = {str(p.relative_to(SOURCE)): ast.get_docstring(ast.parse(p.read_text(encoding="utf-8"))) for p in packages}
    assert [name for name, said in doors.items() if "may import" not in (said or "").lower()] == []


def test_the_broad_except_stands_only_where_a_failure_becomes_a_value() -> None:
    allowed = {"flow/run.py", "flow/limits.py", "flow/events.py", "flow/step.py"}
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
        "ApprovalDecision",
        "Broken",
        "Citation",
        "Cited",
        "Effect",
        "Engine",
        "Event",
        "Finished",
        "Limits",
        "Mode1ManualWorkflow",
        "Mode2AutomaticWorkflow",
        "Mode3ChatManualWorkflow",
        "Mode4ChatAutomaticWorkflow",
        "ParallelBaseWorkflow",
        "Question",
        "Receipt",
        "Services",
        "Settings",
        "Spent",
        "Started",
        "StepEvent",
        "Token",
        "__version__",
        "tool",
    ]
    for name in vital_engine.__all__:
        assert getattr(vital_engine, name) is not None


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, vital_engine; print([m for m in ('langgraph', 'onnxruntime', 'openai', 'fastapi', 'psycopg') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
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


MEANS_ANOTHER_THING = {
    ("langgraph/graph.py", "brief"): "a key of the graph's state",
    ("services/support/model.py", "recall"): "a feature: the share of words that are found again",
}
"""(module, word) -> what is said there, that is no name of a step."""


def test_steps_are_named_in_the_table_and_nowhere_else() -> None:
    """The names of a step's function and module in ``turn`` are the one exception: they are what the table speaks of."""
    named = set()
    for path in MODULES:
        name = str(path.relative_to(SOURCE))
        if name in ("turn/plan.py", "turn/__init__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in BY_NAME:
                named.add((name, node.value))
    assert named == set(MEANS_ANOTHER_THING)
