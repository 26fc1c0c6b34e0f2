"""What flow may cost, how large it may grow, and which names it gives away."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import pytest

from vital_bench.cost import on_flow
from vital_bench.meter import calls, iterations
from vital_engine import flow

MODULES = sorted(Path(flow.__file__).parent.glob("*.py"))


def test_a_turn_of_ten_steps_is_cheap_by_figures_that_do_not_depend_on_the_machine() -> None:
    """Measured: 817 calls (Python 3.11) and 7 passes; the budget of a turn is 1,500 and 12."""
    assert calls(on_flow()) <= 1_000
    assert iterations(on_flow()) <= 7


def test_the_exported_names_are_a_decision() -> None:
    assert flow.__all__ == [
        "DATAFLOW",
        "REASONS",
        "SEQUENTIAL",
        "TIERS",
        "Deadlock",
        "DecayedHistogram",
        "Degraded",
        "Done",
        "Event",
        "Failed",
        "Flow",
        "FlowEnded",
        "FlowStarted",
        "Hedge",
        "Hedged",
        "HedgeOutcome",
        "LateResult",
        "Stream",
        "Load",
        "Observer",
        "Outcome",
        "Policy",
        "Reason",
        "Run",
        "Shape",
        "Skipped",
        "Step",
        "StepEnded",
        "StepStarted",
        "StreamOpened",
        "VirtualLoop",
        "abandoned",
        "bounded",
        "broken_observers",
        "call",
        "shutdown",
        "either",
        "reason_of",
        "run_virtual",
        "speedup",
        "step",
        "run_in_background",
        "background_tasks",
        "tell",
        "gather_outcomes",
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_is_short_described_and_leans_on_nothing(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(tree)
    assert module.name == "__init__.py" or f"{module.name} " in (flow.__doc__ or "")
    for node in ast.walk(tree):
        for name in _imported(node):
            assert name.split(".")[0] in sys.stdlib_module_names or name == "vital_engine.errors"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def test_everything_public_says_what_it_is() -> None:
    things = [getattr(flow, name) for name in flow.__all__]
    own = [thing for thing in things if inspect.isclass(thing) or inspect.isfunction(thing)]
    # A dataclass without a docstring has its signature for one.
    assert [t.__name__ for t in own if not t.__doc__ or t.__doc__.startswith(f"{t.__name__}(")] == []
