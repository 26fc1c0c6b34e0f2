"""What README and docs say can be done: their Python runs, their commands and options exist, their files are there."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import typer.main

from vital_engine import Mode2AutomaticWorkflow
from vital_engine.cli import cli
from vital_engine.modes.settings import KEYS
from vital_engine.monitoring import Watchdog
from vital_engine.settings import Settings, load
from vital_engine.testing import scripted

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`(vital [^`]*)`(?!`)")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def blocks(language: str) -> list[Any]:
    found = []
    for page in PAGES:
        for number, match in enumerate(FENCE.finditer(page.read_text(encoding="utf-8"))):
            if match[1] == language:
                found.append(pytest.param(match[2], id=f"{page.name}-{number}"))
    return found


def commands() -> Iterator[tuple[str, str]]:
    """Page and command line, of consoles and of running text; without comments and without what a placeholder opens."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        lines = [line for match in FENCE.finditer(text) if match[1] == "console" for line in match[2].splitlines()]
        for line in [*lines, *INLINE.findall(FENCE.sub("", text))]:
            bare = re.sub(r"\s#.*$", "", line.strip())
            if re.match(r"(?:[A-Z_]+=\S+ +)*vital\b", bare):
                yield page.name, bare


@pytest.mark.parametrize(("page", "line"), sorted(set(commands())))
def test_a_command_of_the_docs_exists_with_its_options(page: str, line: str) -> None:
    words = [w for w in shlex.split(line.replace("...", "x")) if not re.match(r"[A-Z_]+=", w)]
    assert words[0] == "vital", page
    command: Any = typer.main.get_command(cli)
    names = words[1:]
    while names and hasattr(command, "commands"):
        assert names[0] in command.commands, f"{page}: {line!r} names no command of {command.name}"
        command = command.commands[names.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    asked = {word.partition("=")[0] for word in names if word.startswith("--")}
    assert asked <= known | {"--help"}, f"{page}: {line!r}"


def test_there_are_commands_to_look_at() -> None:
    assert len({line for _, line in commands()}) >= 10


def scripts(page: Path) -> list[str]:
    return [match[2] for match in FENCE.finditer(page.read_text(encoding="utf-8")) if match[1] == "python"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if scripts(page)], ids=lambda page: page.name)
def test_python_of_the_docs_runs(page: Path) -> None:
    """The blocks of a page, one after another: each may use what those above it have introduced.

    A block that says ``asyncio.run`` or opens an ``Engine`` is a program of its own, run against an empty engine; one that enters a
    ``Watchdog`` needs a running loop, as the page says.
    """
    known: dict[str, Any] = {"__name__": "docs"}
    if page.name == "monitoring.md":  # it speaks of a workflow of the reader's
        known |= {"services": scripted(), "Mode2AutomaticWorkflow": Mode2AutomaticWorkflow, "Watchdog": Watchdog}
    for code in scripts(page):
        if "asyncio.run(" in code or "with Engine(" in code:
            run_alone(code)
        elif "running loop" in code:
            asyncio.run(run_in_loop(code, known))
        else:
            exec(compile(code, page.name, "exec"), known)


async def run_in_loop(code: str, known: dict[str, Any]) -> None:
    exec(compile(code, "docs", "exec"), known)


def run_alone(code: str) -> None:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("VITAL_", "OPENAI_", "DATABASE_"))}
    with TemporaryDirectory(prefix="vital-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**clean, "VITAL_HOME": f"{folder}/home"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("text", blocks("toml"))
def test_a_file_of_settings_of_the_docs_is_possible(text: str, tmp_path: Path) -> None:
    tomllib.loads(text)
    file = tmp_path / "vital.toml"
    file.write_text(text, encoding="utf-8")
    assert isinstance(load(environ={}, file=file, turn_keys=KEYS), Settings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
