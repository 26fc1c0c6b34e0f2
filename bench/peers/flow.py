"""This engine's executor alone: steps joined by type. Their limits and stand-ins are the default, which is none."""

from __future__ import annotations

from dataclasses import dataclass

from vital_engine.flow import Degraded, Done, Flow, step

from .shapes import Turn, Values, empty, work


@dataclass(frozen=True, slots=True)
class Made:
    value: str


class Question(Made): ...


class Brief(Made): ...


class Evidence(Made): ...


class ToolSuggestions(Made): ...


class Memory(Made): ...


class Consent(Made): ...


class ToolResults(Made): ...


class Draft(Made): ...


class Citations(Made): ...


class Support(Made): ...


class Cost(Made): ...


async def retrieve(question: Question) -> Evidence:
    return Evidence(await work("retrieve"))


async def suggest(question: Question) -> ToolSuggestions:
    return ToolSuggestions(await work("suggest"))


async def suggest_knowing(memory: Memory) -> ToolSuggestions:
    return ToolSuggestions(await work("suggest", memory.value))


async def recall(question: Question) -> Memory:
    return Memory(await work("recall"))


async def reply(evidence: Evidence, suggestions: ToolSuggestions, memory: Memory) -> Draft:
    return Draft(await work("reply", evidence.value, suggestions.value, memory.value))


async def cite(draft: Draft) -> Citations:
    return Citations(await work("cite", draft.value))


async def assess(draft: Draft) -> Support:
    return Support(await work("assess", draft.value))


async def tally(draft: Draft) -> Cost:
    return Cost(await work("tally", draft.value))


async def brief(question: Question) -> Brief:
    return Brief(await empty("brief"))


async def empty_retrieve(brief: Brief) -> Evidence:
    return Evidence(await empty("retrieve", brief.value))


async def empty_suggest(brief: Brief) -> ToolSuggestions:
    return ToolSuggestions(await empty("suggest", brief.value))


async def empty_recall(brief: Brief) -> Memory:
    return Memory(await empty("recall", brief.value))


async def consent(evidence: Evidence, suggestions: ToolSuggestions, memory: Memory) -> Consent:
    return Consent(await empty("consent", evidence.value, suggestions.value, memory.value))


async def invoke(consent: Consent) -> ToolResults:
    return ToolResults(await empty("invoke", consent.value))


async def empty_reply(tool_results: ToolResults) -> Draft:
    return Draft(await empty("reply", tool_results.value))


async def empty_cite(draft: Draft) -> Citations:
    return Citations(await empty("cite", draft.value))


async def empty_assess(draft: Draft) -> Support:
    return Support(await empty("assess", draft.value))


async def empty_tally(draft: Draft) -> Cost:
    return Cost(await empty("tally", draft.value))


def seed() -> Turn:
    return _built(Flow("turn", *(step(one) for one in (retrieve, suggest, recall, reply, cite, assess, tally))))


def uneven() -> Turn:
    knowing = step(suggest_knowing).named("suggest")
    after = [step(one) for one in (reply, cite, assess, tally)]
    return _built(Flow("turn", step(retrieve), step(recall), knowing, *after))


def ten() -> Turn:
    gathering = (brief, empty_retrieve, empty_suggest, empty_recall, consent, invoke)
    steps = [step(one) for one in (*gathering, empty_reply, empty_cite, empty_assess, empty_tally)]
    return _built(Flow("turn", *(one.named(one.name.removeprefix("empty_")) for one in steps)))


def _built(flow: Flow) -> Turn:
    async def turn() -> Values:
        run = await flow.run(Question("why"))
        return {name: made.value.value for name, made in run.steps.items() if isinstance(made, Done | Degraded)}

    return turn
