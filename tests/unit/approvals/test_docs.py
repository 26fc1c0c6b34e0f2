"""What the pages on modes and approvals show is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vital_engine.errors import Conflict, Expired, InvalidArguments, NotFound

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("page", ["modes.md", "approvals.md"])
def test_the_code_of_a_page_runs_from_top_to_bottom(page: str) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_the_codes_on_the_page_are_the_errors_codes() -> None:
    page = (DOCS / "approvals.md").read_text(encoding="utf-8")
    for error in (Conflict, NotFound, Expired, InvalidArguments):
        assert f"`{error.__name__}`, `{error.code}`" in page


def test_the_commands_of_the_chat_are_on_the_page() -> None:
    from vital_engine.cli.chat import COMMANDS

    page = (DOCS / "modes.md").read_text(encoding="utf-8")
    assert [name for name, _ in COMMANDS if f"`{name}`" not in page] == []
