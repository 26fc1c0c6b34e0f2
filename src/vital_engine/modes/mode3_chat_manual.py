"""Mode 3, manual chat: a conversation; a person approves each tool call, by a pause."""

from __future__ import annotations

from typing import ClassVar

from .chat import ChatWorkflow
from .mode import Mode
from .pausing import PausingWorkflow


class Mode3ChatManualWorkflow(ChatWorkflow, PausingWorkflow):
    """A conversation with pauses: a message that comes while one waits for a decision waits behind it."""

    mode: ClassVar[Mode] = Mode(3, "chat, manual", approves="user", talk="conversation")
