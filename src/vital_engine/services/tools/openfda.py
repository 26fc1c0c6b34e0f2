"""openFDA: drug labels, and counts of adverse events that were reported to the FDA.

Documented at https://open.fda.gov/apis/drug/label/ and https://open.fda.gov/apis/drug/event/. A report is not a cause
and a count is not a rate: reports are unverified, incomplete and repeated, and it is unknown how many people took the
drug.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from vital_engine.errors import ToolError
from vital_engine.nouns import Effect
from vital_engine.nouns.codec import JSON

from .tool import AnyTool, Output, Reading, tool
from .web import WebSource, clean

BASE_URL: Final = "https://api.fda.gov"

Drug = Annotated[str, Field(min_length=2, max_length=80, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ,'()/.+-]*$")]
Section = Literal[
    "boxed_warning",
    "indications_and_usage",
    "dosage_and_administration",
    "contraindications",
    "warnings",
    "adverse_reactions",
    "drug_interactions",
    "use_in_specific_populations",
]

_AFTER = r"(?:in|on|from|at|according|by|and|or|with|say|says|state|states|list|lists|mention|mentions|about|was|were|is|are|have|has|reported)\b"
_NO_DRUG = r"(?:the|a|an|my|our|your|this|that|these|those|it|its|fda|faers|openfda|patients?|children|adults|women|men|drugs?|medicines?|new|over)\b"
_DRUG = rf"(?P<drug>(?!{_NO_DRUG})[A-Za-z][A-Za-z0-9-]+(?:\s+(?!{_AFTER})[A-Za-z][A-Za-z0-9-]+)?)(?=\s*(?:[?.!,;]|$)|\s+{_AFTER})"
_LABEL = re.compile(rf"\b(?:(?:fda|openfda|drug|us)\s+label(?:ing|ling)?|prescribing\s+information)\b[^?!.]{{0,80}}?\b(?:of|for)\s+{_DRUG}", re.IGNORECASE)  # fmt: skip
_EVENTS = re.compile(rf"\b(?:adverse\s+(?:drug\s+)?(?:events?|reactions?)|side\s+effects?)\b[^?!.]{{0,80}}?\b(?:of|for|with|to)\s+{_DRUG}", re.IGNORECASE)  # fmt: skip
_FDA_DATA = re.compile(r"\b(?:faers|openfda|fda(?:'s|’s)?\s+(?:reports?|data(?:base)?|adverse)|reported\s+to\s+(?:the\s+)?fda)\b", re.IGNORECASE)  # fmt: skip


class OpenFDA:
    """A client of api.fda.gov; without an API key it allows 240 requests a minute and 1,000 a day per address."""

    def __init__(
        self, base_url: str = BASE_URL, *, api_key: str | None = None, timeout: float = 5.0, tries: int = 2
    ) -> None:
        self._web = WebSource("openfda", base_url, timeout=timeout, tries=tries, per_second=3.5)
        self._always = {"api_key": api_key} if api_key else {}

    async def label(self, drug: str) -> tuple[Mapping[str, JSON] | None, str]:
        """The newest label with that generic or brand name, or None; and the date of the data."""
        name = _quoted(drug)
        search = f"openfda.generic_name:{name} openfda.brand_name:{name}"  # a space is OR
        results, updated = await self._results(
            "drug/label.json", {"search": search, "sort": "effective_time:desc", "limit": "1"}
        )
        return (results[0] if results else None), updated

    async def events(self, drug: str, *, limit: int) -> tuple[list[tuple[str, int]], str]:
        """The reactions (MedDRA preferred terms) reported most often with the drug, and in how many reports."""
        name = _quoted(drug)
        search = f"patient.drug.openfda.generic_name:{name} patient.drug.openfda.brand_name:{name}"
        count = {"search": search, "count": "patient.reaction.reactionmeddrapt.exact", "limit": str(limit)}
        results, updated = await self._results("drug/event.json", count)
        return [(clean(each.get("term", "")), int(each.get("count", 0))) for each in results], updated

    async def aclose(self) -> None:
        """Close the HTTP client."""
        await self._web.aclose()

    async def _results(self, path: str, parameters: dict[str, str]) -> tuple[list[Mapping[str, JSON]], str]:
        """The results and the date of the data. "No matches found" is a 404 here, and means nothing found."""
        status, answer = await self._web.get(path, self._always | parameters)
        if status == 404:
            if answer.get("error", {}).get("code") == "NOT_FOUND":
                return [], ""
            raise ToolError(f"openfda: there is no {path}", service="openfda")
        results = answer.get("results")
        if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
            raise ToolError(f"openfda: {path} gave no results", service="openfda")
        return results, clean(answer.get("meta", {}).get("last_updated", ""))


def read_label(text: str) -> tuple[Reading, ...]:
    """The drug whose FDA label is asked for by that name, and the section if one is named."""
    found = _LABEL.search(text)
    if not found:
        return ()
    spoken = text.lower().replace("-", " ")
    named = [s for s in get_args(Section) if s.replace("_", " ") in spoken or s.replace("_", " ").rstrip("s") in spoken]
    return (Reading({"drug": found["drug"]} | ({"section": named[0]} if len(named) == 1 else {})),)


def read_events(text: str) -> tuple[Reading, ...]:
    """The drug whose reported events are asked for, where the FDA's reports are asked for by name."""
    found = _EVENTS.search(text)
    return (Reading({"drug": found["drug"]}),) if found and _FDA_DATA.search(text) else ()


def drug_label(fda: OpenFDA) -> AnyTool:
    """The tool that reads labels from *fda*. It is an effect, and asks for consent: the query leaves the house."""

    @tool(
        effect=Effect.EFFECT,
        egress=True,
        consent=True,
        timeout=20.0,
        concurrency=2,
        cues=("FDA label", "drug label", "prescribing information", "openFDA"),
        examples=("What does the FDA label for metformin say about contraindications?",),
        reads=read_label,
    )
    async def drug_label(drug: Drug, section: Section | None = None) -> Output:
        """Read a drug's label (US prescribing information) at openFDA; the drug's name is sent to the FDA.

        :param drug: generic or brand name
        :param section: one section of the label; all that are there if not given
        """
        label, updated = await fda.label(drug)
        if label is None:
            return Output(f"openFDA has no label for “{drug}”.", {"found": False}, "openFDA drug label")
        names = [section] if section else list(get_args(Section))
        parts = {n: clean(" ".join(map(str, label[n]))) for n in names if isinstance(label.get(n), list)}
        missing = "" if parts else f"\nIts label has no section {section}."
        text = "\n".join(f"{name.replace('_', ' ')}: {words}" for name, words in parts.items())
        head = f"US label of {drug}, effective {clean(label.get('effective_time', 'unknown'))}:"
        value = {"found": True, "set_id": clean(label.get("set_id", "")), "sections": sorted(parts), "updated": updated}
        return Output(f"{head}\n{text}{missing}", value, "openFDA drug label")

    return drug_label


def adverse_event_reports(fda: OpenFDA) -> AnyTool:
    """The tool that counts reports at *fda*. It is an effect, and asks for consent: the query leaves the house."""

    @tool(
        effect=Effect.EFFECT,
        egress=True,
        consent=True,
        timeout=20.0,
        concurrency=2,
        cues=("FAERS", "openFDA", "adverse event reports"),
        examples=("Which adverse events are reported for ibuprofen in FAERS?",),
        reads=read_events,
    )
    async def adverse_event_reports(drug: Drug, limit: Annotated[int, Field(ge=1, le=50)] = 10) -> Output:
        """Count the reactions most often reported with a drug to the FDA (FAERS); the drug's name is sent to the FDA.

        :param drug: generic or brand name
        :param limit: how many reactions to list at most
        """
        counts, updated = await fda.events(drug, limit=limit)
        if not counts:
            return Output(f"openFDA has no report with “{drug}”.", {"found": False}, "openFDA drug event (FAERS)")
        lines = "\n".join(f"- {term.capitalize()}: {number} reports" for term, number in counts)
        caution = "Reports are unverified; a count is neither a rate nor proof of a cause."
        value = {"found": True, "reactions": [{"term": t, "reports": n} for t, n in counts], "updated": updated}
        text = f"Reactions most often reported with {drug} (FAERS, data of {updated or 'unknown date'}):\n{lines}\n{caution}"
        return Output(text, value, "openFDA drug event (FAERS)")

    return adverse_event_reports


def _quoted(drug: str) -> str:
    return '"' + drug.replace("\\", " ").replace('"', " ").strip() + '"'
