"""``vital config``: every setting with its value and its meaning."""

from __future__ import annotations

import json
from dataclasses import fields

from vital_engine.app import turn_settings
from vital_engine.modes.settings import KEYS
from vital_engine.nouns.codec import to_json as plain
from vital_engine.services.llm.factory import open_llm
from vital_engine.settings import Settings

from .exits import OK


def show(settings: Settings, *, to_json: bool) -> int:
    turn = turn_settings(settings)
    values = settings.shown()
    values["turn"] = {key: getattr(turn, key) for key in KEYS}
    if to_json:
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


def check(settings: Settings) -> int:
    """Whether all settings are known and possible: what is not is raised, and named."""
    turn_settings(settings)
    open_llm(settings.model, base_url=settings.model_url, api_key=settings.model_key)  # nothing is loaded or asked yet
    print(f"ok{f', from {settings.file}' if settings.file else ''}")
    return OK
