"""The tools that ship: those that only compute, and those that need something to ask.

A module that stands alone because it is the list: the one place where a tool that ships is added.
"""

from __future__ import annotations

from typing import Final

from vital_engine.ports import Retriever

from .calculator import calculator
from .clinical import (
    body_mass_index,
    body_surface_area,
    cha2ds2_vasc,
    corrected_qt,
    creatinine_clearance,
    egfr_ckd_epi_2021,
    meld_3,
    number_needed_to_treat,
)
from .conversion import convert_units
from .knowledge import search_knowledge
from .openfda import OpenFDA, adverse_event_reports, drug_label
from .pubmed import PubMed, pubmed_search
from .tool import AnyTool

PURE_TOOLS: Final[tuple[AnyTool, ...]] = (
    calculator,
    convert_units,
    egfr_ckd_epi_2021,
    creatinine_clearance,
    body_mass_index,
    body_surface_area,
    cha2ds2_vasc,
    corrected_qt,
    meld_3,
    number_needed_to_treat,
)


def standard_tools(
    *, retriever: Retriever | None = None, pubmed: PubMed | None = None, openfda: OpenFDA | None = None
) -> tuple[AnyTool, ...]:
    """Every shipped tool whose source is given; those that only compute always. Nothing outside is asked by default."""
    tools = list(PURE_TOOLS)
    if retriever is not None:
        tools.append(search_knowledge(retriever))
    if pubmed is not None:
        tools.append(pubmed_search(pubmed))
    if openfda is not None:
        tools += [drug_label(openfda), adverse_event_reports(openfda)]
    return tuple(tools)
