"""How many modules a Question passes before the model is asked: ``python bench/hops.py [--mode 2] [--door http] [--json]``.

A turn over scripted services, which propose no tool, once warm, under ``sys.setprofile``: every call (and every resumption of a coroutine) of a
function of ``vital_engine`` is noted, until the model's stream is first asked for a piece. A switch is a call in another module
than the call before it. What belongs together stands together where a turn's path switches seldom.

Doors: ``http`` posts to ``/v1/turns`` and reads the stream; ``library`` calls ``execute``. Nothing is sent over a network.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeAlias

import httpx2

import vital_engine
from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
)
from vital_engine.api import Backend, create_app
from vital_engine.nouns import Piece, Prompt, Question, ToolSuggestions
from vital_engine.ports import LLM
from vital_engine.testing import scripted

Door: TypeAlias = Literal["http", "library"]
ROOT = str(Path(vital_engine.__file__).parent)
TEXT = "What is metformin?"
WARM = 2
"""Turns before the one that is counted: what is imported or built on first use is not its path."""
MOST = 20
"""Hops that are shown."""
MODES: dict[int, Callable[..., Any]] = dict(
    enumerate(
        (Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow), start=1
    )
)


@dataclass(frozen=True, slots=True)
class Hops:
    """Until the model is asked. ``functions``, ``modules``: distinct ones; ``switches``: from one module to another,
    ``packages``: from one package directly under ``vital_engine`` to another; ``frequent``: (from, to, times)."""

    mode: int
    door: str
    calls: int
    functions: int
    modules: int
    switches: int
    packages: int
    frequent: tuple[tuple[str, str, int], ...]


def count(mode: int = 2, door: Door = "http") -> Hops:
    """The hops of one turn.

    :raises RuntimeError: the model was never asked.
    """
    seen = asyncio.run(_seen(mode, door))
    modules = [module for module, _ in seen]
    packages = [module.split("/")[0] for module in modules]
    hops = Counter((one, other) for one, other in pairwise(modules) if one != other)
    return Hops(
        mode,
        door,
        calls=len(seen),
        functions=len(set(seen)),
        modules=len(set(modules)),
        switches=hops.total(),
        packages=sum(one != other for one, other in pairwise(packages)),
        frequent=tuple((one, other, times) for (one, other), times in hops.most_common(MOST)),
    )


@dataclass(slots=True)
class _Asked:
    """Fulfils the port LLM by another, and says when it is asked."""

    llm: LLM
    on_asked: Callable[[], None] = lambda: None

    async def stream(self, prompt: Prompt) -> AsyncIterator[Piece]:
        self.on_asked()
        async for piece in self.llm.stream(prompt):
            yield piece


async def _seen(mode: int, door: Door) -> list[tuple[str, str]]:
    """(module, function) of each call until the model is asked."""
    services = scripted(suggest=(0.0, ToolSuggestions()))
    model = _Asked(services.llm)
    workflow = MODES[mode](replace(services, llm=model), watchers=())
    turn = _posted(workflow, mode) if door == "http" else _executed(workflow)
    for _ in range(WARM):
        await turn()
    calls: list[tuple[str, str]] = []
    asked: list[int] = []

    def on_event(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(ROOT):
            name = frame.f_code.co_qualname
            if not name.startswith("<"):
                calls.append((frame.f_code.co_filename[len(ROOT) + 1 :], name))

    model.on_asked = lambda: asked.append(len(calls))
    sys.setprofile(on_event)
    try:
        await turn()
    finally:
        sys.setprofile(None)
    if not asked:
        raise RuntimeError(f"the model was not asked in mode {mode}")
    return calls[: asked[0]]


def _executed(workflow: Any) -> Callable[[], Any]:
    async def turn() -> None:
        await workflow.execute(Question(TEXT, tenant="t1", user="u1", conversation="c1"))

    return turn


def _posted(workflow: Any, mode: int) -> Callable[[], Any]:
    """``POST /v1/turns``, whose events are read to their end."""
    transport = httpx2.ASGITransport(create_app(Backend.around(workflow)))
    client = httpx2.AsyncClient(transport=transport, base_url="http://localhost")

    async def turn() -> None:
        answered = await client.post("/v1/turns", json={"question": TEXT, "mode": mode, "stream": True})
        answered.raise_for_status()

    return turn


def shown(hops: Hops) -> str:
    first = (
        f"mode {hops.mode} by {hops.door}, until the model is asked: {hops.calls} calls of {hops.functions} functions in "
        f"{hops.modules} modules; {hops.switches} switches between modules, {hops.packages} between packages"
    )
    return "\n".join([first, *(f"{times:4}  {one} -> {other}" for one, other, times in hops.frequent)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", type=int, choices=MODES, default=2)
    parser.add_argument("--door", choices=("http", "library"), default="http")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    hops = count(options.mode, options.door)
    print(json.dumps(asdict(hops), indent=2) if options.json else shown(hops))


if __name__ == "__main__":
    main()
