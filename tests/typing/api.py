"""Right code: what a type checker must accept, and what it must know. Never run; see test_typing.py."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, assert_type

from vital_engine import tool
from vital_engine.flow import (
    Done,
    Failed,
    Flow,
    FlowEnded,
    Log,
    Outcome,
    Policy,
    Run,
    Step,
    Stream,
    bounded,
    call,
    gather_outcomes,
    run_virtual,
    step,
)
from vital_engine.nouns import Effect
from vital_engine.services.tools import Toolbox


class Question: ...


class Evidence: ...


class Draft: ...


async def retrieve(question: Question) -> Evidence:
    return Evidence()


async def reply(evidence: Evidence, out: Stream[Draft]) -> Draft:
    out.push("a word")
    return Draft()


async def improve(port: Port, question: Question, draft: Draft | None = None, *, k: int = 3) -> Evidence:
    return Evidence()


class Port:
    async def search(self, query: str, *, k: int) -> list[str]:
        return [query] * k


def joined(items: Sequence[Any], error: BaseException) -> Draft:
    return Draft()


retrieving = step(retrieve)
replying = step(reply).under(Policy(within=2.0)).named("answer").fallback(Draft()).recover(joined)
assert_type(retrieving, Step[Evidence])
assert_type(retrieving.fallback(Evidence()), Step[Evidence])
assert_type(replying, Step[Draft])

assert_type(step(partial(improve, Port(), k=2)), Step[Evidence])

flow = Flow("turn", retrieving, replying, given=[Question])
whole = Flow("whole", flow, step(Port.search).named("search"))


async def main() -> None:
    run = await flow.run(Question(), within=5.0)
    assert_type(run, Run)
    assert_type(run[Evidence], Evidence)
    assert_type(run[Draft], Draft)
    assert_type(run.outcomes[Draft], Outcome[Any])
    outcome: Outcome[Draft] = run.outcomes[Draft]
    assert_type((outcome.made, outcome.broke, outcome.code), tuple[bool, bool, str])
    assert_type((outcome.seconds, outcome.began, outcome.ended), tuple[float, float, float])
    assert_type(outcome.value, Draft | None)
    assert_type(outcome.error, BaseException | None)
    if outcome.kind == "done":
        assert_type(outcome.value, Draft)
    elif outcome.kind == "failed":
        assert_type(outcome, Failed)
        assert_type(outcome.error, BaseException)
    log = Log([print])
    assert_type((await flow.run(Question(), log=log, since=run.seconds)).log, Log)
    log.add(FlowEnded, "whole", False, 1.0)
    assert_type(run.overlap, float | None)
    assert_type(run.critical_path, tuple[str, ...])
    assert_type(await call(Port().search, "q", k=3), list[str])
    assert_type(await bounded(retrieve(Question()), within=1.0), Evidence)
    assert_type(await gather_outcomes([lambda: retrieve(Question())], within=1.0), list[Done[Evidence] | Failed])


async def reads(draft: Stream[Draft]) -> None:
    assert_type(await draft.result(), Draft | None)
    assert_type(draft.reader(), Stream[Draft])
    async for batch in draft.batches():
        assert_type(batch, list[Any])


assert_type(run_virtual(retrieve(Question())), Evidence)


@tool
def plain(dose_mg: float) -> str:
    """Plain."""
    return str(dose_mg)


@tool(effect="read", cues=["look"])
async def looked_up(code: str, *, limit: int = 5) -> list[str]:
    """Look something up."""
    return [code] * limit


assert_type(plain(3.0), str)
assert_type(looked_up.effect, Effect)
assert_type(Toolbox([plain, joined]).add(plain)(2.0), str)
box = Toolbox([plain], model=True)


@box.tool(effect=Effect.KEYED_WRITE, cost_usd="0.01")
def ordered(item: str) -> bool:
    """Order an item."""
    return bool(item)


assert_type(ordered("gloves"), bool)


async def awaits() -> None:
    assert_type(await looked_up("x", limit=3), list[str])
