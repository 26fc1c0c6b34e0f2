"""Mode 1, manual interactive: one question; a person approves each tool call, by a pause."""

from __future__ import annotations

from typing import ClassVar

from .mode import Mode
from .pausing import PausingWorkflow


class Mode1ManualWorkflow(PausingWorkflow):
    """One question. If tool calls are proposed, the answer is ``paused`` until :meth:`resume` has settled each."""

    mode: ClassVar[Mode] = Mode(1, "manual interactive", approves="user", talk="question")
