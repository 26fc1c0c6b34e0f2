"""Tools: typed functions that a question may call for, and that run once they are approved.

``tool`` (what one is), ``schema`` (signature to JSON schema), ``toolbox`` (suggest, check and call: the ports ToolSuggester,
ArgumentValidator and Caller), ``model_suggester`` (suggest by a model), ``reading`` (arguments found in a question),
``parameters`` (how a plain parameter is read). The shipped ones, gathered by ``standard``: ``calculator``, ``conversion`` of units, ``clinical`` formulas,
``knowledge``, and over ``web``: ``pubmed``, ``openfda``.

May import nouns, ports and errors; never turn or flow.
"""

from vital_engine.services.ranking import Match, Profile, Shortlist

from .model_suggester import ModelSuggester
from .openfda import OpenFDA
from .pubmed import PubMed
from .reading import Choice, Mention, Number, Numbers, Text, Wording
from .schema import CallKey
from .standard import PURE_TOOLS, standard_tools
from .tool import AnyTool, Output, Reader, Reading, Tool, ToolSettings, tool
from .toolbox import ToolArgumentValidator, Toolbox

__all__ = [
    "PURE_TOOLS",
    "AnyTool",
    "CallKey",
    "Choice",
    "Match",
    "Mention",
    "ModelSuggester",
    "Number",
    "Numbers",
    "OpenFDA",
    "Output",
    "Profile",
    "PubMed",
    "Reader",
    "Reading",
    "Shortlist",
    "Text",
    "Tool",
    "ToolArgumentValidator",
    "ToolSettings",
    "Toolbox",
    "Wording",
    "standard_tools",
    "tool",
]
