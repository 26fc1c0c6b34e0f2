"""Mode 2, automatic research: one question; the policy approves the tools."""

from __future__ import annotations

from typing import ClassVar

from .mode import Mode
from .workflow import ParallelBaseWorkflow


class Mode2AutomaticWorkflow(ParallelBaseWorkflow):
    """One question, answered without anybody being asked: the policy approves tools, and gives its reasons."""

    mode: ClassVar[Mode] = Mode(2, "automatic research", approves="policy", talk="question")
