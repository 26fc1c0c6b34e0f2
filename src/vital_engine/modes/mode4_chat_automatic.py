"""Mode 4, automatic chat: a conversation; the policy approves the tools."""

from __future__ import annotations

from typing import ClassVar

from .chat import ChatWorkflow
from .mode import Mode


class Mode4ChatAutomaticWorkflow(ChatWorkflow):
    """A conversation, answered without anybody being asked: the policy approves tools, and gives its reasons."""

    mode: ClassVar[Mode] = Mode(4, "chat, automatic", approves="policy", talk="conversation")
