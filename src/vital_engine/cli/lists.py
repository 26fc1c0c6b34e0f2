"""Commands that list what there is: experts and turns."""

from __future__ import annotations

import json
from dataclasses import asdict

from vital_engine.app import open_app
from vital_engine.receipt import as_json as plain
from vital_engine.settings import Settings

from .exits import OK
from .render import shorten


async def show_experts(settings: Settings, *, as_json: bool) -> int:
    async with open_app(settings, watchers=()) as app:
        experts = await app.roster.experts(settings.tenant)
    if as_json:
        print(json.dumps([asdict(e) for e in experts], ensure_ascii=False, indent=2))
    else:
        for e in experts:
            print(f"{e.id:24} {e.name}\n{'':24} {shorten(e.description)}")
    return OK


async def show_runs(settings: Settings, *, limit: int, as_json: bool) -> int:
    async with open_app(settings, watchers=()) as app:
        lines = await app.turns.list(app.scope(), limit=limit)
    if as_json:
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
