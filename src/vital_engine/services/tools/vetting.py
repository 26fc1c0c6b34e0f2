"""Whether a call may still be made as it stands, asked before anybody writes down that it begins."""

from __future__ import annotations

from dataclasses import replace

from vital_engine.errors import ToolError
from vital_engine.nouns import ToolCall

from .toolbox import Toolbox


class ToolArgumentValidator:
    """Fulfils the port Vetter for the tools of a box."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    async def validate(self, tool_call: ToolCall) -> ToolCall:
        """*tool_call* with its arguments in the tool's normal form.

        :raises ToolError: there is no such tool, or its definition has changed since the call was proposed.
        :raises InvalidArguments: the tool refuses the arguments; each field at fault is named.
        """
        tool = self._toolbox[tool_call.tool]
        if tool_call.definition and tool_call.definition != tool.definition:
            raise ToolError(f"{tool.name}: its definition has changed since the call was proposed", service=tool.name)
        return replace(tool_call, arguments=tool.form.normal(tool_call.arguments, tool=tool.name))
