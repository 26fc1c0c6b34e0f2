"""Commands that list what there is: experts and turns."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from vital_engine.app import open_app
from vital_engine.nouns.codec import to_json as plain
from vital_engine.services.experts import dump_experts, load_experts
from vital_engine.settings import Settings

from .exits import OK
from .render import shorten


async def show_experts(settings: Settings, *, to_json: bool, as_yaml: bool = False) -> int:
    async with open_app(settings, watchers=()) as app:
        experts = await app.router.experts(settings.tenant)
    if as_yaml:
        print(dump_experts(experts), end="")
    elif to_json:
        print(json.dumps([asdict(e) for e in experts], ensure_ascii=False, indent=2))
    else:
        for e in experts:
            print(f"{e.id:24} {e.name}\n{'':24} {shorten(e.description)}")
    return OK


async def add_experts(path: Path, settings: Settings, *, replace: bool) -> int:
    """Keep the experts of a YAML file. All of them are read before the first is kept."""
    experts = load_experts(path)
    async with open_app(settings, watchers=()) as app:
        for expert in experts:
            await app.experts.add(expert, app.scope(), replace=replace)
            print(f"{expert.id}: kept for {settings.tenant}")
    return OK


async def show_runs(settings: Settings, *, limit: int, to_json: bool) -> int:
    async with open_app(settings, watchers=()) as app:
        lines = await app.turns.list(app.scope(), limit=limit)
    if to_json:
        print(json.dumps(plain(lines), ensure_ascii=False, indent=2))
    else:
        for line in lines:
            print(f"{line.begun_at:%Y-%m-%d %H:%M:%S}  {line.status:9} {line.run_id}  {shorten(line.question, 60)}")
    return OK


async def show_run(run_id: str, settings: Settings) -> int:
    async with open_app(settings, watchers=()) as app:
        turn = await app.turns.show(run_id, app.scope())
    print(json.dumps(plain(turn), ensure_ascii=False, indent=2))
    return OK
