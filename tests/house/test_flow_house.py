"""What flow may cost, how large it may grow, and which names it gives away."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Awaitable
from pathlib import Path

import pytest

from vital_bench.cost import on_flow
from vital_bench.meter import calls, iterations
from vital_engine import flow

MODULES = sorted(Path(flow.__file__).parent.glob("*.py"))


def test_a_turn_of_ten_steps_is_cheap_by_figures_that_do_not_depend_on_the_machine() -> None:
    """Measured: 702 calls (Python 3.11) and 7 passes; the budget of a turn is 1,500 and 12."""
    assert calls(on_flow()) <= 785
    assert iterations(on_flow()) <= 7


class One: ...


class Two: ...


class Three: ...


async def one() -> One:
    return One()


async def two(one: One) -> Two:
    return Two()


async def three(two: Two) -> Three:
    return Three()


def test_a_reader_of_a_log_costs_little_and_no_pass_of_the_loop() -> None:
    """Measured: 13 calls for each step, of which the reader's own are 2, and 25 for the run."""
    chain = flow.Flow("f", flow.step(one), flow.step(two), flow.step(three))

    def observer(event: object) -> None: ...

    def alone() -> Awaitable[object]:
        return chain.run()

    def observed() -> Awaitable[object]:
        return chain.run(observers=[observer])

    assert calls(observed) - calls(alone) <= 13 * 3 + 25
    assert iterations(observed) == iterations(alone)


def test_a_token_is_cheap() -> None:
    """Measured: 5 calls, of which three say what time it is; two more for a subscriber."""

    async def nothing() -> None:
        flow.Stream()

    async def pushes() -> None:
        stream = flow.Stream[object]()
        for i in range(100):
            stream.push(i)

    async def is_followed() -> None:
        stream = flow.Stream[object]()
        stream.subscribe(lambda: None)
        for i in range(100):
            stream.push(i)

    async def comes_at_once() -> None:
        flow.Stream[object]().extend(range(100))

    least = calls(nothing)
    assert calls(pushes) - least <= 5 * 100 + 10
    assert calls(is_followed) - least <= 7 * 100 + 10
    assert calls(comes_at_once) - least <= 20


def test_the_exported_names_are_a_decision() -> None:
    assert flow.__all__ == [
        "DATAFLOW",
        "KINDS",
        "REASONS",
        "SEQUENTIAL",
        "TIERS",
        "BaseOutcome",
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
        "HedgeOutcome",
        "Hedged",
        "Kind",
        "LateResult",
        "Load",
        "Log",
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
        "Stream",
        "StreamOpened",
        "VirtualLoop",
        "abandoned",
        "background_tasks",
        "bounded",
        "broken_observers",
        "call",
        "either",
        "gather_outcomes",
        "reason_of",
        "run_in_background",
        "run_virtual",
        "shift",
        "shutdown",
        "speedup",
        "step",
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_a_module_is_short_described_and_leans_on_nothing(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 600
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
