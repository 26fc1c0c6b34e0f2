"""The reference holds all that is public, and the site is built of it without a warning and without the network."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

import vital_engine
from vital_engine import errors
from vital_engine.cli import cli
from vital_engine.modes.settings import KEYS
from vital_engine.monitoring import registry
from vital_engine.settings import KEYS as DEPLOYMENT
from vital_engine.turn import STEPS
from vital_engine.turn.plan import table

ROOT = Path(__file__).parents[2]
DOORS = ["flow", "nouns", "ports", "testing", "monitoring", "modes", "errors", "turn", "store"]


def _site() -> Any:
    spec = spec_from_file_location("site_of_the_docs", ROOT / "docs" / "site.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SITE = _site()
PAGES: dict[str, str] = SITE.pages()


def public(package: str) -> list[str]:
    """The public names of *package*: its ``__all__``, or what its module defines."""
    module = importlib.import_module(f"vital_engine.{package}")
    return list(getattr(module, "__all__", None) or SITE._own(module.__name__))


def commands(command: Any) -> set[str]:
    below = getattr(command, "commands", {})
    return set(below) | {name for each in below.values() for name in commands(each)}


@pytest.mark.parametrize("package", DOORS)
def test_every_public_name_is_in_the_reference(package: str) -> None:
    page = PAGES[f"{package}.md"]
    listed = {*re.findall(r"^ +- (\w+)$", page, re.MULTILINE), *re.findall(r"^::: \S+\.(\w+)$", page, re.MULTILINE)}
    assert [name for name in public(package) if name not in listed] == []


def test_every_name_of_the_package_itself_is_in_the_reference() -> None:
    assert [n for n in vital_engine.__all__ if n != "__version__" and f"| `{n}` |" not in PAGES["index.md"]] == []


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("settings.md", [*KEYS, *DEPLOYMENT]),
        ("errors.md", [getattr(errors, name).code for name in errors.__all__]),
        ("metrics.md", [family.name + {"counter": "_total", "info": "_info"}.get(family.type, "") for family in registry.collect()]),
    ],
    ids=["settings", "errors", "metrics"],
)  # fmt: skip
def test_every_setting_error_and_metric_is_in_the_reference(page: str, names: list[str]) -> None:
    assert [name for name in names if f"| `{name}` |" not in PAGES[page]] == []


def test_every_step_is_in_the_reference() -> None:
    assert [step.name for step in STEPS if f"| {step.name} |" not in PAGES["turn.md"]] == []


def test_every_command_is_in_the_reference() -> None:
    found = {words.split()[-1] for words in re.findall(r"^#+ `vital (.+)`$", PAGES["cli.md"], re.MULTILINE)}
    assert found == commands(typer.main.get_command(cli))


def test_every_route_is_in_the_reference() -> None:
    documented = re.findall(
        r"^### `(\w+ /\S+)`$", (ROOT / "docs" / "http.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert documented
    assert [route for route in documented if f"## `{route}`" not in PAGES["http.md"]] == []


def test_every_page_can_be_reached() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]

    def files(part: Any) -> list[str]:
        if isinstance(part, str):
            return [part]
        return [file for below in (part.values() if isinstance(part, dict) else part) for file in files(below)]

    guides = {page.name for page in (ROOT / "docs").glob("*.md")}
    expected = {
        "index.md",
        "contributing.md",
        "benchmarks/report.md",
        *guides,
        *(f"reference/{name}" for name in PAGES),
    }
    assert sorted(files(nav)) == sorted(expected)


@pytest.mark.slow
def test_the_site_is_built_with_every_name_and_loads_nothing_from_elsewhere() -> None:
    done = subprocess.run(
        [sys.executable, "docs/site.py"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for package in DOORS:
        page = (SITE.SITE / "reference" / f"{package}.html").read_text(encoding="utf-8")
        shown = set(re.findall(rf'id="vital_engine\.{package}\.(?:\w+\.)?(\w+)"', page))
        assert [name for name in public(package) if name not in shown] == []
    loaded = re.compile(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="(?:https?:)?//[^"]+')
    for page in SITE.SITE.rglob("*.html"):
        assert not loaded.findall(page.read_text(encoding="utf-8")), page.name


def test_the_table_of_steps_in_the_design_is_the_plans() -> None:
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- steps: vital_engine.turn.plan.table() -->\n")[2].partition("\n<!-- /steps -->")[0]
    assert shown == table()
