"""Experts as YAML: one to a file, or a list under ``experts``. Read with every fault named, written as read.

::

    instructions: |            # optional, put behind each expert's own
      Cite every claim.
    experts:
      - id: oncology           # lower case, digits and hyphens
        name: Oncology
        description: Tumours, staging, chemotherapy.
        instructions: You are an oncologist.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from vital_engine.errors import ConfigError
from vital_engine.nouns import Expert
from vital_engine.nouns.codec import JSON

MAX_BYTES = 1_000_000

_Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class _Written(BaseModel):
    """An expert as it stands in a file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: _Id
    name: _Name
    description: _Text
    instructions: _Text
    model: _Name | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    tools: list[_Name] = []
    domains: list[_Name] = []
    modes: list[Annotated[int, Field(ge=1, le=4)]] = [1, 2, 3, 4]

    def expert(self, common: str) -> Expert:
        whole = "\n\n".join(part for part in (self.instructions, common) if part)
        return Expert(
            id=self.id,
            name=self.name,
            description=self.description,
            instructions=whole,
            model=self.model,
            temperature=self.temperature,
            max_output_tokens=self.max_output_tokens,
            tools=tuple(self.tools),
            domains=tuple(self.domains),
            modes=tuple(self.modes),
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    instructions: str = ""
    experts: Annotated[list[_Written], Field(min_length=1)]


def load_experts(path: Path | str) -> tuple[Expert, ...]:
    """The experts in a YAML file, or in all ``*.yaml`` of a folder, by name.

    ConfigError names the file, the expert and the field of each fault; also if two have one id.
    """
    place = Path(path)
    found: list[Expert] = []
    for file in sorted(place.glob("*.yaml")) if place.is_dir() else [place]:
        try:
            if file.stat().st_size > MAX_BYTES:
                raise ConfigError(f"{file}: larger than {MAX_BYTES} bytes")
            found += read_experts(file.read_text("utf-8"), source=str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: it cannot be read: {error}") from error
    _refuse_twins(found, str(place))
    return tuple(found)


def read_experts(text: str, *, source: str = "experts") -> tuple[Expert, ...]:
    """The experts that *text* holds as YAML. ConfigError, naming *source*, the expert and the field of each fault."""
    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not YAML: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{source}: expected an expert, or a mapping with the key experts")
    try:
        written = _File.model_validate(value if "experts" in value else {"experts": [value]})
    except ValidationError as error:
        raise ConfigError("; ".join(f"{source}: {told}" for told in _told(error, value))) from None
    experts = tuple(each.expert(written.instructions.strip()) for each in written.experts)
    _refuse_twins(experts, source)
    return experts


def dump_experts(experts: Iterable[Expert]) -> str:
    """*experts* as YAML that :func:`read_experts` reads back as the same."""
    listed = [
        {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(each).items()}
        for each in experts
    ]
    written: str = yaml.safe_dump({"experts": listed}, sort_keys=False, allow_unicode=True, width=100)
    return written


@cache
def shipped_experts() -> tuple[Expert, ...]:
    """The experts of this package; the first is the generalist."""
    file = files("vital_engine.services.experts").joinpath("shipped.yaml")
    return read_experts(file.read_text("utf-8"), source="the shipped experts")


def _told(error: ValidationError, value: Mapping[str, JSON]) -> Iterable[str]:
    """Each fault as "expert oncology: modes.0: Input should be ...", the expert by its id where it has one."""
    for fault in error.errors(include_url=False, include_input=False):
        place = list(fault["loc"])
        who = ""
        if len(place) > 1 and place[0] == "experts":
            listed = value.get("experts", [value])
            each = listed[int(place[1])]
            name = each.get("id", f"number {int(place[1]) + 1}") if isinstance(each, dict) else place[1]
            who, place = f"expert {name}: ", place[2:]
        yield f"{who}{'.'.join(map(str, place)) or 'it'}: {fault['msg']}"


def _refuse_twins(experts: Iterable[Expert], source: str) -> None:
    seen: set[str] = set()
    for each in experts:
        if each.id in seen:
            raise ConfigError(f"{source}: there are two experts with the id {each.id}")
        seen.add(each.id)
