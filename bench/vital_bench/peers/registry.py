"""Who is measured: under which name, out of which package, and what a reader should know of it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
from dataclasses import dataclass

from .shapes import Turn

OURS = ("flow", "workflow_bare", "workflow")
"""This engine's own rows."""
WHOLE = ("workflow_bare", "workflow")
"""Those whose steps make what a real turn makes, and not a text that spells out how it was made."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``key``: the function that builds its turns. ``package``: its distribution, and ``module`` what it is imported as.
    ``wall_clock``: its own limits go by the time of day, so that a virtual clock does not show them.
    ``renamed``: the names of its steps matter, so that there is a shape "renamed". ``where``: the module in this package, if
    it is not named after its function."""

    key: str
    name: str
    package: str = ""
    module: str = ""
    note: str = ""
    wall_clock: bool = False
    renamed: bool = False
    where: str = ""

    @property
    def installed(self) -> bool:
        return not self.module or importlib.util.find_spec(self.module) is not None

    @property
    def version(self) -> str:
        return importlib.metadata.version(self.package) if self.package else ""

    def shape(self, name: str) -> Turn | None:
        """A turn of that shape, built once; None: it has none. Imports the engine."""
        module = importlib.import_module(f"{__package__}.{self.where or self.key}")
        turn: Turn | None = getattr(module, self.key)(name)
        return turn


ENTRIES = (
    Entry("sequential", "one step after another", where="plain"),
    Entry("gather", "asyncio.gather, by hand", where="plain"),
    Entry("taskgroup", "asyncio.TaskGroup, dataflow", where="plain"),
    Entry("flow", "VITAL Engine, the executor", "vital-engine", "vital_engine"),
    Entry("workflow_bare", "VITAL Engine, a turn of mode 2", "vital-engine", "vital_engine",
          "prompt, receipt and all, the answer in one piece, checks that do nothing", where="workflow"),
    Entry("workflow", "VITAL Engine, the same, 120 pieces", "vital-engine", "vital_engine",
          "8 sentences are checked, judged and priced while they are spoken: far more work than the others' turns have"),
    Entry("langgraph", "LangGraph StateGraph", "langgraph", "langgraph", "supersteps: a wave waits for its slowest"),
    Entry("haystack", "Haystack Pipeline.run_async", "haystack-ai", "haystack",
          "a ready component waits while one earlier in the alphabet runs", renamed=True),
    Entry("hamilton", "Apache Hamilton, async driver", "apache-hamilton", "hamilton"),
    Entry("pydantic_graph", "pydantic-graph GraphBuilder", "pydantic-graph", "pydantic_graph"),
    Entry("llama_index", "LlamaIndex Workflows", "llama-index-workflows", "workflows",
          "its limit is on the whole run, 45 s by default", wall_clock=True),
    Entry("agno", "Agno Workflow", "agno", "agno", "a failing step is tried four times, its error is its content"),
)  # fmt: skip
BY_KEY = {entry.key: entry for entry in ENTRIES}

QUIET = {"HAYSTACK_TELEMETRY_ENABLED": "false", "HAMILTON_TELEMETRY_ENABLED": "false", "AGNO_TELEMETRY": "false"}
"""The engines send nothing home."""
os.environ.update(QUIET)
