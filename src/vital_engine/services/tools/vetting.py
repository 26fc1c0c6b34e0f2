"""Whether a call may still be made as it stands, asked before anybody writes down that it begins."""

from __future__ import annotations

from dataclasses import replace

from vital_engine.errors import ToolError
from vital_engine.nouns import Proposal

from .toolbox import Toolbox


class ToolVetter:
    """Fulfils the port Vetter for the tools of a box."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    async def vet(self, proposal: Proposal) -> Proposal:
        """*proposal* with its arguments in the tool's normal form.

        :raises ToolError: there is no such tool, or its definition has changed since the call was proposed.
        :raises InvalidArguments: the tool refuses the arguments; each field at fault is named.
        """
        tool = self._toolbox[proposal.tool]
        if proposal.definition and proposal.definition != tool.definition:
            raise ToolError(f"{tool.name}: its definition has changed since the call was proposed", service=tool.name)
        return replace(proposal, arguments=tool.form.normal(proposal.arguments, tool=tool.name))
