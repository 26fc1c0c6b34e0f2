"""What is known of a draft: the nouns of review, and of save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .asked import Question
from .paid import Call


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer and where it stands in it. ``index`` counts from 0."""

    text: str
    start: int
    end: int
    index: int


@dataclass(frozen=True, slots=True)
class Citation:
    """A marker of the answer, tied to a passage and to the quote in the document that carries it.

    ``verdict`` is "verified" (the quote stands in the stored text and the hard checks agree), "weak"
    (it stands there, but figures, negation or wording do not agree), "mismatch" (it does not stand there)
    or "dangling" (there is no such passage). ``start``/``end``: the quote, in the document's text.
    """

    marker: int
    verdict: str
    sentence: int
    passage: str = ""
    document: str = ""
    title: str = ""
    page: int | None = None
    start: int = 0
    end: int = 0
    quote: str = ""
    source: str = ""
    score: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Citations:
    """All citations in order of appearance. Iterates over those that point somewhere."""

    items: tuple[Citation, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Citations:
        return cls(failed=True)

    @property
    def dangling(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(c.marker for c in self.items if c.verdict == "dangling"))

    @property
    def cited(self) -> tuple[Citation, ...]:
        return tuple(c for c in self.items if c.verdict != "dangling")

    @property
    def verified(self) -> tuple[Citation, ...]:
        return tuple(c for c in self.items if c.verdict == "verified")

    def __iter__(self) -> Iterator[Citation]:
        return iter(self.cited)

    def __len__(self) -> int:
        return len(self.cited)

    def __getitem__(self, index: int) -> Citation:
        return self.cited[index]


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """How well the evidence carries one sentence: 0 to 1, None if nobody could tell. ``checks``: the hard ones."""

    sentence: int
    score: float | None
    passage: str = ""
    quote: str = ""
    checks: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Support:
    sentences: tuple[SentenceSupport, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Support:
        return cls(failed=True)

    @property
    def score(self) -> float | None:
        """The mean over the sentences that have a score; None if none has."""
        known = [s.score for s in self.sentences if s.score is not None]
        return sum(known) / len(known) if known and not self.failed else None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A paid call with its price. ``usd`` None: unknown model or unknown usage; ``price`` names the list and date."""

    call: Call
    usd: Decimal | None
    price: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """One row per paid call. If any is unknown, ``usd`` is None and ``at_least`` is the lower bound."""

    rows: tuple[LedgerRow, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Cost:
        return cls(failed=True)

    @property
    def at_least(self) -> Decimal:
        return sum((r.usd for r in self.rows if r.usd is not None), Decimal(0))

    @property
    def usd(self) -> Decimal | None:
        known = not self.failed and all(r.usd is not None for r in self.rows)
        return self.at_least if known else None


@dataclass(frozen=True, slots=True)
class Quality:
    """0 to 1, or None where its parts are unknown; ``parts`` names each; ``cap`` says what limited it."""

    score: float | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)
    cap: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """The turn's beginning is written down, or there is no store."""

    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """The turn is kept, or there is no store."""

    run_id: str = ""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A finished turn as the store keeps it. ``receipt`` is the turn's whole account, ready to be JSON."""

    run_id: str
    question: Question
    mode: int
    status: str
    text: str
    expert: str
    receipt: Mapping[str, Any]
    citations: Citations = Citations()
    cost: Cost = Cost()
    seconds: float = 0.0
