"""Wrong code: each line marked ``# wrong`` must be refused by every type checker. Never run; see test_typing.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vital_engine import tool
from vital_engine.flow import Flow, Log, Policy, Shape, bounded, run_virtual, step
from vital_engine.services.tools import Toolbox


class Question: ...


class Evidence: ...


class Draft: ...


async def retrieve(question: Question) -> Evidence:
    return Evidence()


def not_async(question: Question) -> Evidence:
    return Evidence()


def joined(items: Sequence[Any], error: BaseException) -> Draft:
    return Draft()


step(retrieve).fallback(Draft())  # wrong: stands in for something else
step(retrieve).fallback(Evidence)  # wrong: the class and not a value of it
step(retrieve).recover(joined)  # wrong: salvages something else
step(not_async)  # wrong: it would block the loop
step(retrieve).under(2.0)  # wrong: a policy has a name for each of its limits
step(retrieve).named(retrieve)  # wrong: a name is a string
Flow("f", retrieve)  # wrong: not a step yet
Flow(step(retrieve))  # wrong: a flow has a name
Flow("f", given=[Question()])  # wrong: the types, and not the things
Policy(within="2 s")  # wrong: seconds are a number
Policy(timeout=2.0)  # wrong: it is called within
Log([Evidence()])  # wrong: a reader is called
Log().add(Evidence)  # wrong: an event is a named tuple
Shape(width="all")  # wrong: a number of seats
run_virtual(retrieve)  # wrong: not called


async def main() -> None:
    run = await Flow("f", step(retrieve)).run(Question())
    evidence: Draft = run[Evidence]  # wrong: what is made is of the type that was asked for
    name: str = run.seconds  # wrong: seconds are a float
    await Flow("f", step(retrieve)).run(Question(), within="5")  # wrong: seconds are a number
    await Flow("f", step(retrieve)).run(log=[])  # wrong: a list is no log
    run.outcomes[Evidence].kind = "done"  # wrong: what became of a step stands
    await bounded(retrieve(Question()))  # wrong: everything that waits has a limit
    assert evidence and name


def doubled(value: float) -> float:
    """Double a value."""
    return 2 * value


tool(effect="reed")(doubled)  # wrong: no such effect
tool(efect="read")(doubled)  # wrong: a misspelt setting
tool(timeout="5 s")(doubled)  # wrong: seconds are a number
tool("doubled")  # wrong: a name is not a function
tool(doubled)("2")  # wrong: its parameter is a number
Toolbox().tool(effect="reed")(doubled)  # wrong: no such effect
Toolbox(["doubled"])  # wrong: a name is not a tool
text: str = tool(doubled)(2.0)  # wrong: it gives a number
