"""Whatever is guessed, whenever it comes, and whatever breaks: what a turn shows and does is what it does without."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vital_engine.answer import Answer
from vital_engine.flow import run_virtual
from vital_engine.modes import Mode2AutomaticWorkflow
from vital_engine.modes.stream import Token
from vital_engine.nouns import Brief, Effect, Evidence, Guess, Memory, Question, ToolCall, ToolSuggestions
from vital_engine.testing import ScriptedServices, scripted
from vital_engine.testing.material import EVIDENCE, MEMORY, MENU

QUESTION = Question("How did HbA1c change?", tenant="t", user="u", run_id="run")
READING = {"instructions": 0.15, "conversation": 0.02, "tools": 0.02, "evidence": 0.11}
SECONDS = st.sampled_from([0.0, 0.01, 0.05, 0.2, 0.3, 0.5, 0.9])
BREAKS = st.sampled_from([None, None, None, "error", "hang"])


@dataclass
class Told:
    """Fulfils the port Foresight with one guess, after a time of its own."""

    guessed: Guess | None
    seconds: float

    async def guess(self, question: Question, brief: Brief) -> Guess | None:
        await asyncio.sleep(self.seconds)
        return self.guessed

    async def learn(self, question: Question, brief: Brief, found: Guess) -> None: ...


def call(effect: Effect, cost: str) -> ToolSuggestions:
    return ToolSuggestions((replace(MENU.tool_calls[0], effect=effect, cost_usd=Decimal(cost)),))


MENUS = st.sampled_from(
    [ToolSuggestions(), MENU, call(Effect.READ, "0"), call(Effect.KEYED_WRITE, "0"), call(Effect.PURE, "0.01")]
)
EVIDENCES = st.sampled_from([EVIDENCE, replace(EVIDENCE, passages=EVIDENCE.passages[:1]), Evidence()])
MEMORIES = st.sampled_from([MEMORY, Memory()])


def run(services: ScriptedServices, told: Told, speculation: str) -> tuple[Answer, str]:
    """The answer, and what was streamed of it."""

    async def turn() -> tuple[Answer, str]:
        workflow = Mode2AutomaticWorkflow(
            replace(services, foresight=told), watchers=(), speculation=speculation, parallel_timeout_ms=1000
        )
        for _ in range(20):
            workflow.early.speculation.learn("told", right=True)
        started = workflow.start(QUESTION)
        said = [event.text async for event in started.events if isinstance(event, Token)]
        return await started.answer(), "".join(said)

    return run_virtual(turn())


@settings(max_examples=150)
@given(
    times=st.fixed_dictionaries(dict.fromkeys(("brief", "retrieve", "suggest", "recall", "invoke"), SECONDS)),
    breaks=st.fixed_dictionaries(dict.fromkeys(("retrieve", "suggest", "recall", "invoke"), BREAKS)),
    found=st.tuples(EVIDENCES, MENUS, MEMORIES),
    guessed=st.one_of(st.none(), st.tuples(EVIDENCES, MENUS, MEMORIES)),
    as_found=st.booleans(),
    seconds=st.sampled_from([0.0, 0.05, 0.09, 0.2]),
    model=st.sampled_from(["speaks", "breaks", "fails"]),
    reads_ahead=st.booleans(),
)
def test_a_guess_changes_nothing_but_the_time(
    times: dict[str, float],
    breaks: dict[str, str | None],
    found: tuple[Evidence, ToolSuggestions, Memory],
    guessed: tuple[Evidence, ToolSuggestions, Memory] | None,
    as_found: bool,
    seconds: float,
    model: str,
    reads_ahead: bool,
) -> None:
    makes = dict(zip(("retrieve", "suggest", "recall"), found, strict=True))
    script: dict[str, Any] = {"brief": times["brief"]}
    for step in ("retrieve", "suggest", "recall", "invoke"):
        value = (times[step], makes[step]) if step in makes else times[step]
        script[step] = {None: value, "error": (times[step], ValueError("broke")), "hang": "hang"}[breaks[step]]
    script["reply"] = {"speaks": 1.5, "breaks": (1.5, "It fell. It", OSError("cut")), "fails": OSError("down")}[model]
    prefill = READING if reads_ahead and model != "fails" else 0.0
    guess = Guess(*(found if as_found else guessed), source="told") if guessed is not None else None

    def services() -> ScriptedServices:
        return scripted(prefill=prefill, **script)

    without, spoken_without = run(services(), Told(None, 0.0), "off")
    used = services()
    answer, spoken = run(used, Told(guess, seconds), "auto")

    assert (answer.text, answer.status, answer.degraded) == (without.text, without.status, without.degraded)
    assert spoken == spoken_without == answer.text  # no word was taken back
    assert answer.evidence == without.evidence
    assert [f.status for f in answer.tool_results.results] == [f.status for f in without.tool_results.results]
    assert len(used.kept) == 1
    consented = answer.outcomes["consent"].ended
    for made in used.calls:
        if made.port == "invoke":
            tool_call: ToolCall = made.arguments["tool_call"]
            harmless = tool_call.effect in (Effect.PURE, Effect.READ) and not tool_call.cost_usd
            assert harmless or made.start >= consented - 1e-9
    if not reads_ahead:  # what was read on a wrong guess may have to be read again
        assert answer.timing.total <= without.timing.total + 0.1 + 1e-9  # a guess may be waited for so long
