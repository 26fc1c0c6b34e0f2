"""A turn through the graph is one turn to whoever watches: the same metrics, one trace, and its words as they come."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from seed_profile import SEQUENTIAL_TOTAL, TIERS_TOTAL
from vital_engine import Mode1ManualWorkflow, Mode2AutomaticWorkflow
from vital_engine.errors import RetrievalError
from vital_engine.flow import FlowEnded, FlowStarted, StepEnded, StepStarted
from vital_engine.langgraph import graph as graph_module
from vital_engine.langgraph.graph import TurnGraph
from vital_engine.modes import TurnSettings
from vital_engine.modes.settings import Profile
from vital_engine.monitoring import Tracing, registry
from vital_engine.nouns import Question
from vital_engine.nouns.answer import TurnEnded
from vital_engine.ports import Replicas
from vital_engine.testing import run_virtual, scripted

CONFIG: Any = {"configurable": {"thread_id": "one"}}


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(*, gauges: bool) -> Samples:
    """The engine's own series. Not how often the last turns went well, which depends on those before."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if metric.name.startswith(("parallel_", "vital_"))
        and (metric.type == "gauge") is gauges
        and not sample.name.endswith(("_created", "_success_rate"))
    }


def counted(work: Any) -> tuple[Samples, Samples]:
    """What *work* adds to the counters, and how it leaves the gauges."""
    before = samples(gauges=False)
    run_virtual(work)
    after = samples(gauges=False)
    return {k: round(d, 9) for k, v in after.items() if (d := v - before.get(k, 0.0))}, samples(gauges=True)


@pytest.mark.parametrize("script", [{}, {"retrieve": RetrievalError("down")}, {"cite": "hang", "recall": "hang"}])
def test_the_metrics_change_as_for_the_engines_own_path(question: Question, seed: Any, drive: Any, script: Any) -> None:
    def workflow() -> Any:
        return Mode2AutomaticWorkflow(scripted(**{**seed, **script}), profile="tiers")

    own, graph = counted(workflow().execute(question)), counted(drive(workflow(), question))
    assert graph == own
    assert len(own[0]) > 20


def test_a_turn_that_pauses_is_counted_as_on_the_engines_own_path(question: Question, drive: Any, seed: Any) -> None:
    def workflow() -> Any:
        return Mode1ManualWorkflow(scripted(**seed), profile="tiers")

    async def own() -> None:
        mine = workflow()
        answer = await mine.execute(question)
        await mine.resume(answer.run_id, {a.id: "approve" for a in answer.approvals})

    assert counted(drive(workflow(), question)) == counted(own())


def spans_of(work: Any, exporter: InMemorySpanExporter) -> dict[str, str | None]:
    """Name -> name of its parent."""
    exporter.clear()
    run_virtual(work)
    spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
    return {s.name: spans[s.parent.span_id].name if s.parent else None for s in spans.values()}


def test_a_turn_is_one_trace(question: Question, seed: Any, drive: Any) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def workflow() -> Any:
        return Mode2AutomaticWorkflow(scripted(**seed), profile="tiers", watchers=[Tracing(provider)])

    own = spans_of(workflow().execute(question), exporter)
    assert spans_of(drive(workflow(), question), exporter) == own
    assert [name for name, parent in own.items() if parent is None] == ["invoke_agent scripted"]


def test_observers_are_made_once_and_told_of_one_flow(question: Question, seed: Any) -> None:
    told: list[Any] = []
    made: list[tuple[str, int]] = []

    def watch(question: Question, mode: int) -> Any:
        made.append((question.run_id, mode))
        return told.append

    workflow = Mode2AutomaticWorkflow(scripted(**seed), watchers=[watch])
    graph = TurnGraph(workflow)
    question = replace(question, run_id="run")
    run_virtual(graph.build().compile().ainvoke({"question": question}))
    assert made == [("run", 2)] and len(graph.turns) == 0
    flows = [(type(event), event.flow) for event in told if isinstance(event, FlowStarted | FlowEnded)]
    assert flows == [(FlowStarted, "turn"), (FlowEnded, "turn"), (FlowStarted, "save"), (FlowEnded, "save")]
    ended = {event.step: event.outcome for event in told if isinstance(event, StepEnded)}
    assert (ended["reply"].began, ended["reply"].ended, ended["cite"].ended) == (0.5, 2.0, TIERS_TOTAL)
    assert isinstance(told[-1], TurnEnded)


def test_a_call_that_was_sent_twice_is_told_and_counted_as_on_the_engines_own_path(
    question: Question, seed: Any, drive: Any
) -> None:
    def workflow(**script: Any) -> Mode2AutomaticWorkflow:
        second = scripted(**seed)
        services = replace(scripted(**{**seed, **script}), replicas=Replicas(second.retriever, llm=second.llm))
        made = Mode2AutomaticWorkflow(services)
        for step, late in {"retrieve": 0.6, "reply": 0.2}.items():
            made.runner.segments.hedges.of[step].after, made.runner.segments.hedges.of[step]._tokens = late, 10.0
        return made

    def count() -> list[float]:
        labels = [{"step": step, "outcome": "sent_won"} for step in ("retrieve", "reply")]
        return [registry.get_sample_value("vital_hedges_total", each) or 0.0 for each in labels]

    before = count()
    answer = run_virtual(drive(workflow(retrieve="hang", reply="hang"), question))["answer"]
    assert (answer.status, answer.degraded) == ("complete", {})
    assert answer.receipt()["hedges"] == {"retrieve": {"sent": 0.6, "won": True}, "reply": {"sent": 1.3, "won": True}}
    assert count() == [n + 1 for n in before]


def test_two_turns_at_once_are_watched_apart(seed: Any) -> None:
    told: dict[str, list[str]] = {}

    def watch(question: Question, _: int) -> Any:
        mine = told.setdefault(question.run_id, [])
        return lambda event: mine.append(event.step) if isinstance(event, StepStarted) else None

    async def both() -> None:
        graph = Mode2AutomaticWorkflow(scripted(**seed), watchers=[watch]).build_graph().compile()
        asked = [Question(text="x", tenant="t", user="u", run_id=run) for run in ("a", "b")]
        await asyncio.gather(*(graph.ainvoke({"question": q}) for q in asked))

    run_virtual(both())
    assert told["a"] == told["b"] and len(told["a"]) == len(set(told["a"])) == 12


def test_turns_that_were_left_by_whoever_ran_them_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_module, "OPEN_TURNS", 2)
    told: list[Any] = []

    async def leave_three() -> int:
        graph = TurnGraph(Mode2AutomaticWorkflow(scripted(), watchers=[lambda *_: told.append]))
        compiled = graph.build().compile(checkpointer=InMemorySaver(), interrupt_before=["reply"])
        for thread in "abc":
            asked = Question(text="x", tenant="t", user="u")
            await compiled.ainvoke({"question": asked}, {"configurable": {"thread_id": thread}})
        return len(graph.turns)

    assert run_virtual(leave_three()) == 2
    assert [type(event) for event in told if isinstance(event, FlowStarted | FlowEnded)].count(FlowEnded) == 1


def test_a_run_that_begins_anew_is_watched_anew(question: Question) -> None:
    told: list[Any] = []
    question = replace(question, run_id="run")

    async def twice() -> int:
        graph = TurnGraph(Mode2AutomaticWorkflow(scripted(), watchers=[lambda *_: told.append]))
        await (
            graph.build()
            .compile(checkpointer=InMemorySaver(), interrupt_before=["reply"])
            .ainvoke({"question": question}, CONFIG)
        )
        await graph.build().compile().ainvoke({"question": question})
        return len(graph.turns)

    assert run_virtual(twice()) == 0
    flows = [type(event) for event in told if isinstance(event, FlowStarted | FlowEnded) and event.flow == "turn"]
    assert sorted(flow.__name__ for flow in flows) == ["FlowEnded"] * 2 + ["FlowStarted"] * 2


# -- streams
async def streamed(graph: Any, question: Any, mode: str) -> list[Any]:
    return [chunk async for chunk in graph.astream({"question": question}, CONFIG, stream_mode=mode)]


PROFILES: list[Profile] = ["tiers", "sequential"]


@pytest.mark.parametrize("profile", PROFILES)
def test_words_come_as_they_are_spoken(question: Question, profile: Profile) -> None:
    services = scripted(reply=1.5, tokens=10, sentences=2, prefill=0.5)
    graph = Mode2AutomaticWorkflow(services, profile=profile).build_graph().compile()

    async def read() -> Any:
        stream = graph.astream({"question": question}, stream_mode="custom")
        now = asyncio.get_running_loop().time
        return [(round(now(), 9), chunk["text"]) async for chunk in stream if chunk["kind"] == "token"]

    came = run_virtual(read())
    assert [at for at, _ in came] == [round(0.5 + 0.1 * i, 9) for i in range(1, 11)]
    assert "".join(text for _, text in came) == services.kept[0].text


def test_progress_is_another_kind_of_event_than_the_answers_text(question: Question, seed: Any) -> None:
    graph = Mode2AutomaticWorkflow(scripted(**seed, save=OSError("disk"))).build_graph().compile()
    steps = [c for c in run_virtual(streamed(graph, question, "custom")) if c["kind"] == "step"]
    began = [c["step"] for c in steps if not c["outcome"]]
    assert began.index("reply") < began.index("cite")
    assert {c["step"] for c in steps} == {
        "register", "brief", "retrieve", "suggest", "recall", "consent", "invoke", "reply", "cite", "assess", "tally"
    }  # fmt: skip
    (reply,) = [c for c in steps if c["step"] == "reply" and c["outcome"]]
    assert reply == {"kind": "step", "step": "reply", "outcome": "done", "seconds": 1.5, "reason": ""}


def test_values_are_nouns_and_updates_are_plain(question: Question) -> None:
    graph = Mode2AutomaticWorkflow(scripted()).build_graph().compile()
    values = run_virtual(streamed(graph, question, "values"))
    assert len(values) == 8 and values[-1]["answer"].status == "complete"
    updates = run_virtual(streamed(graph, question, "updates"))
    assert [next(iter(update)) for update in updates][1] == "parallel_retrieval"
    assert updates[1]["parallel_retrieval"]["evidence"]["noun"] == "Evidence"


def test_a_changed_setting_counts_from_the_next_turn_on(question: Question, seed: Any) -> None:
    workflow = Mode2AutomaticWorkflow(scripted(**seed))
    graph = workflow.build_graph().compile()

    async def turn() -> float:
        async for update in graph.astream({"question": question}, stream_mode="updates"):
            if "brief" in update:
                workflow.settings = TurnSettings(profile="sequential")
            if "save" in update:
                return float(update["save"]["answer"]["value"]["timing"]["total"])
        raise AssertionError("it never ended")

    assert [run_virtual(turn()), run_virtual(turn())] == [TIERS_TOTAL, SEQUENTIAL_TOTAL]


# -- cancellation
@pytest.mark.parametrize("config", [{}, CONFIG], ids=["by itself", "with a checkpointer"])
@pytest.mark.parametrize("after", [0.0, 0.1, 0.5, 1.0, 1.9, 2.05])
def test_who_is_cancelled_leaves_nothing_running(question: Question, seed: Any, config: Any, after: float) -> None:
    services = scripted(**seed)
    cancelled = (
        registry.get_sample_value("vital_turn_duration_seconds_count", {"mode": "2", "status": "cancelled"}) or 0
    )

    async def turn() -> tuple[int, int]:
        graph = TurnGraph(Mode2AutomaticWorkflow(services))
        compiled = graph.build().compile(checkpointer=InMemorySaver() if config else None)
        going = asyncio.ensure_future(compiled.ainvoke({"question": question}, config))
        await asyncio.sleep(after)
        going.cancel()
        await asyncio.wait({going})
        assert going.cancelled()
        await asyncio.sleep(0.1)
        return len(asyncio.all_tasks()) - 1, len(graph.turns)

    assert run_virtual(turn()) == (0, 0)
    assert all(call.end is not None and call.end <= after for call in services.calls if call.start < after)
    if after not in (0.0, 0.5):  # then it is a step that is cut
        name = "vital_turn_duration_seconds_count"
        now = registry.get_sample_value(name, {"mode": "2", "status": "cancelled"})
        assert now == cancelled + 1
        assert len(services.kept) == (0 if config else 1)
    if after == 1.0 and not config:
        (kept,) = services.kept
        assert kept.status == "partial" and kept.text and kept.cost.rows[0].call.status == "cancelled"


def test_a_cancelled_turn_is_gone_on_with_from_its_checkpoint(question: Question, seed: Any) -> None:
    services, saver = scripted(**seed), InMemorySaver()

    async def turn() -> Any:
        graph = Mode2AutomaticWorkflow(services).build_graph().compile(checkpointer=saver)
        going = asyncio.ensure_future(graph.ainvoke({"question": question}, CONFIG))
        await asyncio.sleep(1.0)
        going.cancel()
        await asyncio.wait({going})
        return await graph.ainvoke(None, CONFIG)

    answer = run_virtual(turn())["answer"]
    assert (answer.status, answer.timing.total, len(services.kept)) == ("complete", TIERS_TOTAL, 1)
    assert [sum(c.port == p for c in services.calls) for p in ("retrieve", "invoke", "reply")] == [1, 1, 2]


def test_a_pause_leaves_nothing_running_either(question: Question) -> None:
    async def turn() -> int:
        graph = TurnGraph(Mode1ManualWorkflow(scripted()))
        compiled = graph.build().compile(checkpointer=InMemorySaver())
        await compiled.ainvoke({"question": question}, CONFIG)
        assert len(graph.turns) == 0
        await compiled.ainvoke(Command(resume={"call-1": "reject"}), CONFIG)
        assert len(graph.turns) == 0
        return len(asyncio.all_tasks()) - 1

    assert run_virtual(turn()) == 0
