"""Tools: typed functions that a question may call for, and that run once they are allowed to.

``tool`` (what one is), ``schema`` (signature to JSON schema), ``toolbox`` (suggest and call: the ports Suggester and
Caller), ``reading`` (arguments found in a question), ``seats`` (how many at once, for how long), ``vetting`` (whether a
call may still be made as it stands). The shipped ones, gathered by ``standard``: ``calculator``, ``conversion`` of
units, ``clinical`` formulas, ``knowledge``, and over ``web``: ``pubmed``, ``openfda``.

May import nouns, ports and errors; never turn or flow.
"""

from vital_engine.services.ranking import Match, Profile, Shortlist

from .openfda import OpenFDA
from .pubmed import PubMed
from .reading import Choice, Mention, Number
from .schema import CallKey
from .standard import PURE_TOOLS, standard_tools
from .tool import AnyTool, Output, Reader, Reading, Tool, tool
from .toolbox import Toolbox
from .vetting import ToolArgumentValidator

__all__ = [
    "PURE_TOOLS",
    "AnyTool",
    "CallKey",
    "Choice",
    "Match",
    "Mention",
    "Number",
    "OpenFDA",
    "Output",
    "Profile",
    "PubMed",
    "Reader",
    "Reading",
    "Shortlist",
    "Tool",
    "ToolArgumentValidator",
    "Toolbox",
    "standard_tools",
    "tool",
]
