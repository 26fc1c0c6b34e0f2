"""What is known of an answer: nouns of the steps of tier 2 and of ``save``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias, get_args

from .asked import Question
from .paid import Call

Verdict: TypeAlias = Literal["verified", "weak", "mismatch", "dangling"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
"""From good to bad."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer.

    :param text: its text.
    :param start: offset of its first character in the answer.
    :param end: offset behind its last character.
    :param index: its number, from 0.
    """

    text: str
    start: int
    end: int
    index: int


@dataclass(frozen=True, slots=True)
class Citation:
    """A citation marker of the answer, with the passage and the quote that it refers to.

    :param marker: the number in the text.
    :param verdict: ``verified``: the quote stands in the stored text and the hard checks agree. ``weak``: it stands
        there, but figures, negation or wording do not agree. ``mismatch``: it does not stand there. ``dangling``: there
        is no such passage.
    :param sentence: number of the sentence.
    :param passage: id of the passage.
    :param document: id of the document.
    :param title: title of the document.
    :param page: page number, from 1; None: unknown.
    :param start: offset of the quote in the document's text.
    :param end: offset behind the quote.
    :param quote: the words of the document.
    :param source: where the document comes from.
    :param score: how well the quote fits the sentence, 0 to 1; None: unknown.
    :param notes: what the hard checks found.
    """

    marker: int
    verdict: Verdict
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
    """All citations in the order of the text. Iterates over those that refer to a passage.

    :param items: all citations, also dangling ones.
    :param failed: the citations could not be checked.
    """

    items: tuple[Citation, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Citations:
        """The fallback value of a failed check."""
        return cls(failed=True)

    @property
    def dangling(self) -> tuple[int, ...]:
        """Markers that refer to no passage."""
        return tuple(dict.fromkeys(c.marker for c in self.items if c.verdict == "dangling"))

    @property
    def cited(self) -> tuple[Citation, ...]:
        """Citations that refer to a passage."""
        return tuple(c for c in self.items if c.verdict != "dangling")

    @property
    def verified(self) -> tuple[Citation, ...]:
        """Citations with the verdict ``verified``."""
        return tuple(c for c in self.items if c.verdict == "verified")

    def __iter__(self) -> Iterator[Citation]:
        return iter(self.cited)

    def __len__(self) -> int:
        return len(self.cited)

    def __getitem__(self, index: int) -> Citation:
        return self.cited[index]


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """How well the evidence supports one sentence.

    :param sentence: number of the sentence.
    :param score: 0 to 1; None: it could not be assessed.
    :param passage: id of the passage that supports it best.
    :param quote: the words of that passage.
    :param checks: hard check -> whether it passed.
    """

    sentence: int
    score: float | None
    passage: str = ""
    quote: str = ""
    checks: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Support:
    """How well the evidence supports an answer.

    :param sentences: one for each sentence.
    :param failed: support could not be assessed.
    """

    sentences: tuple[SentenceSupport, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Support:
        """The fallback value of a failed assessment."""
        return cls(failed=True)

    @property
    def score(self) -> float | None:
        """The mean over the sentences that have a score; None if none has."""
        known = [s.score for s in self.sentences if s.score is not None]
        return sum(known) / len(known) if known and not self.failed else None


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A call and its price.

    :param call: the call.
    :param usd: its cost; None: the model or the usage is unknown.
    :param price: name and date of the price list.
    """

    call: Call
    usd: Decimal | None
    price: str = ""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a turn.

    :param rows: one for each paid call.
    :param failed: the cost could not be computed.
    """

    rows: tuple[LedgerRow, ...] = ()
    failed: bool = False

    @classmethod
    def missing(cls) -> Cost:
        """The fallback value of a failed account."""
        return cls(failed=True)

    @property
    def at_least(self) -> Decimal:
        """Sum of the known costs: a lower bound."""
        return sum((r.usd for r in self.rows if r.usd is not None), Decimal(0))

    @property
    def usd(self) -> Decimal | None:
        """The cost; None if the cost of any call is unknown."""
        known = not self.failed and all(r.usd is not None for r in self.rows)
        return self.at_least if known else None


@dataclass(frozen=True, slots=True)
class Quality:
    """The grade of an answer.

    :param score: 0 to 1; None: unknown.
    :param parts: part -> its score; None: unknown.
    :param cap: what limited the score; empty: nothing.
    """

    score: float | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)
    cap: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """The beginning of the turn is stored, or there is no store."""

    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """The turn is stored, or there is no store."""

    run_id: str = ""


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """A finished turn, as the store keeps it.

    :param run_id: the turn.
    :param question: the question.
    :param mode: 1 to 4.
    :param status: complete, partial, failed or cancelled.
    :param text: the answer.
    :param expert: id of the expert.
    :param receipt: the turn's whole account, as JSON.
    :param citations: the checked citations.
    :param cost: the ledger.
    :param seconds: duration of the turn.
    """

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
