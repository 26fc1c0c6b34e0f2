"""The page on LangGraph is true: its table is the compiled graph's, its code runs, and nobody else pays for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vital_engine import (
    Mode1ManualWorkflow,
    Mode2AutomaticWorkflow,
    Mode3ChatManualWorkflow,
    Mode4ChatAutomaticWorkflow,
)
from vital_engine.errors import ConfigError
from vital_engine.langgraph.state import FORMER_KEYS
from vital_engine.modes.segments import parts
from vital_engine.testing import scripted

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "langgraph.md").read_text(encoding="utf-8")
MODES = [Mode1ManualWorkflow, Mode2AutomaticWorkflow, Mode3ChatManualWorkflow, Mode4ChatAutomaticWorkflow]
Row = tuple[list[str], list[str], list[str]]


def documented(mode: int) -> dict[str, Row]:
    """Node -> what it runs, reads and writes, as the page says of *mode*."""
    rows: dict[str, Row] = {}
    for line in PAGE.splitlines():
        if not re.match(r"\| `\w+`( \(modes [\d, ]+\))? \|", line):
            continue
        node, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        modes = re.search(r"\(modes (.+)\)", node)
        if modes is None or str(mode) in modes[1].split(", "):
            runs, reads, writes = (re.findall(r"`(\w+)`", cell) for cell in cells)
            rows[re.findall(r"`(\w+)`", node)[0]] = runs, reads, writes
    return rows


@pytest.mark.parametrize("mode", MODES)
def test_the_table_is_the_graph(mode: Any) -> None:
    graph = mode(scripted()).build_graph().compile()
    rows = documented(mode.mode.number)
    assert list(rows) == [name for name in graph.nodes if name != "__start__"]
    for part in parts(mode(scripted()).runner.approver):
        runs, reads, writes = rows[part.name]
        assert runs == list(part.steps) or part.name in ("consent", "save")
        assert sorted(reads) == sorted(set(graph.nodes[part.name].channels) - set(FORMER_KEYS)) == sorted(part.reads)
        assert writes == list(part.writes)


@pytest.mark.parametrize("mode", MODES)
def test_the_drawing_is_the_graph(mode: Any) -> None:
    drawing = PAGE.split("```mermaid")[1].split("```")[0]
    edges = set(re.findall(r"(\w+) --> (\w+)", drawing))
    drawn = mode(scripted()).build_graph().compile().get_graph()
    assert edges == {(edge.source, edge.target) for edge in drawn.edges}


def test_the_code_on_the_page_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    # In a process of its own: the page's names are one module's, as its reader would type them.
    code = "\n".join(blocks)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["parallel_retrieval", "parallel_post_generation"])
def test_the_two_wide_nodes_keep_their_names(name: str) -> None:
    assert name in Mode2AutomaticWorkflow(scripted()).build_graph().nodes
    assert callable(getattr(Mode2AutomaticWorkflow, f"{name}_node"))


def test_who_builds_no_graph_does_not_load_langgraph() -> None:
    code = (
        "import sys\n"
        "from vital_engine import Mode2AutomaticWorkflow\n"
        "from vital_engine.testing import scripted\n"
        "workflow = Mode2AutomaticWorkflow(scripted())\n"
        "assert not [m for m in sys.modules if m.startswith(('langgraph', 'langchain'))]\n"
        "workflow.build_graph()\n"
        "assert 'langgraph.graph' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=240)


def test_only_the_door_names_langgraph() -> None:
    source = ROOT / "src" / "vital_engine"
    uses = re.compile(r"^\s*(?:from|import) (?:langgraph|langchain)", re.MULTILINE)
    found = {str(p.relative_to(source)) for p in source.rglob("*.py") if uses.search(p.read_text(encoding="utf-8"))}
    assert {name for name in found if not name.startswith("langgraph/")} <= {"modes/workflow.py"}


def test_without_langgraph_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m.startswith("vital_engine.langgraph.graph")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "langgraph", None)
    for name in [m for m in sys.modules if m.startswith("langgraph.")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=re.escape("vital-engine[langgraph]")):
        Mode2AutomaticWorkflow(scripted()).build_graph()
