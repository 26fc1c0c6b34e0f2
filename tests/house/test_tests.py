"""The tests keep their own rules: they hold on a busy machine, and each thing that they share stands once."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import settings

from seed_profile import SEED

TESTS = Path(__file__).parents[1]
FILES = sorted(path for path in TESTS.rglob("*.py") if "data" not in path.parts)
PROFILE = TESTS / "conftest.py"
"""Where the one hypothesis profile stands."""


WALL = {"monotonic", "perf_counter"}


def calls_of(path: Path, name: str) -> list[ast.Call]:
    """The calls of *name*, plain or as an attribute, in the module at *path*."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [n for n in nodes if getattr(n.func, "id", getattr(n.func, "attr", "")) == name]


def test_examples_are_the_same_in_every_run_and_have_no_deadline() -> None:
    profile = settings.get_profile("tests")
    assert profile.deadline is None
    assert profile.derandomize
    assert settings.get_current_profile_name() in {"tests", "explore"}


def test_the_profile_stands_once() -> None:
    ruled = {"deadline", "derandomize", "print_blob", "database"}
    own = [
        f"{path.relative_to(TESTS)}:{call.lineno}"
        for path in FILES
        if path != PROFILE
        for call in calls_of(path, "settings")
        if ruled & {keyword.arg for keyword in call.keywords}
    ]
    assert not own, "these are settings of all tests: tests/conftest.py"


def test_a_limit_on_the_wall_is_no_shorter_than_a_busy_machine_needs() -> None:
    """Of a time that was measured (``time.monotonic() - began < 30``), of a process, and of a test."""
    short = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.expr):
                continue
            limits: list[ast.expr] = []
            if isinstance(node, ast.Compare) and WALL & {getattr(n, "attr", "") for n in ast.walk(node)}:
                pairs = zip(node.ops, node.comparators, strict=True)
                limits = [right for op, right in pairs if isinstance(op, ast.Lt | ast.LtE)]
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"run", "communicate"}:
                limits = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.timeout":
                limits = node.args
            seconds = [limit.value for limit in limits if isinstance(limit, ast.Constant)]
            short += [
                f"{path.relative_to(TESTS)}:{node.lineno}" for s in seconds if isinstance(s, float | int) and s < 20
            ]
    assert not short


def test_the_seeds_profile_stands_once() -> None:
    first = {step: SEED[step] for step in ("retrieve", "suggest", "recall")}
    again = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                given = {getattr(key, "value", None): getattr(value, "value", None) for key, value in pairs}
            elif isinstance(node, ast.Call):
                given = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
            else:
                continue
            if first.items() <= given.items():
                again.append(f"{path.relative_to(TESTS)}:{node.lineno}")
    assert [place.partition(":")[0] for place in again] == ["seed_profile.py"], again
