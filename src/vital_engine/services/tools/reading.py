"""Arguments that stand in a question, found by rule. What is not there, or there twice, is not filled.

A parameter says how people word it::

    creatinine_mg_dl: Annotated[float, Number(names=("creatinine", "scr"), units={"mg/dl": 1, "umol/l": 1 / 88.42},
                                              bare={"mg/dl": (0.1, 20), "umol/l": (30, 2000)})]

Nothing here guesses: two different values, a range, an unknown unit or a negation that is not plainly about
the word are read as "not said", and a tool that needs the argument is then not proposed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import Stemmer
from bm25s.stopwords import STOPWORDS_EN_PLUS

from .tool import Reader, Reading

_NUMBER = r"(?P<number>[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)"
_LINK = r"(?:\s*(?:level|value|score|interval))?\s*(?:is|was|of|at|=|:)?\s*"
_OTHER_UNIT = re.compile(
    r"\s*(?:%|°|/|(?:[-–]|to|or)\s*\d|[a-zµ]+/[a-z0-9]|(?:kg|g|mg|mcg|ug|µg|lbs?|pounds|ml|dl|l|cm|mm|m|ft|in|inches|ms|s|h|mmol|umol|µmol)\b)",
    re.IGNORECASE,
)
_NEGATORS = r"(?:no|not|without|denies|denied|never|negative for|absence of|free of|non)"
_NEGATED = re.compile(
    rf"\b{_NEGATORS}\b(?:\s+(?:a|any|known|prior|previous|history|of|signs?|evidence|have|has|had))*\s*$", re.IGNORECASE
)
_ANOTHER = re.compile(r"\s*\b(?:to|or)\s+\d", re.IGNORECASE)
_ANSWERED = re.compile(r"\s*[:=]\s*(?P<answer>yes|no|true|false|none|absent|present)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.;,:?!()]|\b(?:and|but|with|who|having)\b", re.IGNORECASE)

_LOOK_BACK = 200  # characters in which a negation is looked for: more than a clause


@dataclass(frozen=True, slots=True)
class Number:
    """How a number is worded.

    :param names: words that stand before or behind it.
    :param units: unit as written in lower case -> factor to the argument's own unit. Empty: it has none.
    :param bare: unit -> the range within which a number without a unit is taken to be in it. The ranges do not
        overlap; a number outside of all is not read. Needed only where there are units.
    :param alone: units that say by themselves what the number is ("70 years old"), with their factors.
    """

    names: tuple[str, ...]
    units: Mapping[str, float] = field(default_factory=dict)
    bare: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    alone: Mapping[str, float] = field(default_factory=dict)

    def read(self, text: str) -> tuple[float, str] | None:
        """The one value that *text* gives, and a note where its unit had to be taken as meant; else None."""
        for found in (list(self._named(text)), list(self._alone(text))):
            if found:
                return found[0] if len({round(value, 9) for value, _ in found}) == 1 else None
        return None

    def _named(self, text: str) -> Iterator[tuple[float, str]]:
        name = rf"(?<![\w-])(?:{_any(self.names)})(?![\w-])"
        unit = rf"\s*-?(?P<unit>{_any(self.units)})(?![\w/])" if self.units else r"(?P<unit>(?!))"
        yield from self._values(rf"{name}{_LINK}{_NUMBER}(?![\d.]*\d)(?:{unit})?", text)
        yield from self._values(rf"(?<![\w.,/]){_NUMBER}(?:{unit})?\s*(?:of\s+)?{name}(?!{_LINK}\d)", text)

    def _alone(self, text: str) -> Iterator[tuple[float, str]]:
        if self.alone:
            pattern = rf"(?<![\w.,/–-]){_NUMBER}[\s-]*(?P<unit>{_any(self.alone)})(?![\w/])"
            for found in re.finditer(pattern, text, re.IGNORECASE):
                yield _scaled(_float(found["number"]), self.alone[_unit(found["unit"])]), ""

    def _values(self, pattern: str, text: str) -> Iterator[tuple[float, str]]:
        for found in re.finditer(pattern, text, re.IGNORECASE):
            value = _float(found["number"])
            if _ANOTHER.match(text, found.end()):
                continue  # "80 mg or 40 mg", "80 mg to 90 mg": it is not one value
            if found["unit"] is not None:
                yield _scaled(value, self.units[_unit(found["unit"])]), ""
            elif _OTHER_UNIT.match(text, found.end("number")):
                continue
            elif not self.units:
                yield value, ""
            else:
                for unit, (low, high) in self.bare.items():
                    if low <= value <= high:
                        # A note only where another unit would have made another value of it.
                        note = (
                            f"{self.names[0]} {found['number']} read as {unit}"
                            if len(set(self.units.values())) > 1
                            else ""
                        )
                        yield _scaled(value, self.units[unit]), note


@dataclass(frozen=True, slots=True)
class Numbers:
    """How a list of numbers is worded: "values 1, 2 and 3". Its names and units are those of :class:`Number`; all stand in
    one unit, which may be left out."""

    names: tuple[str, ...]
    units: Mapping[str, float] = field(default_factory=dict)

    def read(self, text: str) -> tuple[list[float], str] | None:
        """See :meth:`Wording.read`."""
        unit = rf"(?:\s*(?:{_any(self.units)})(?![\w/]))?" if self.units else ""
        one = r"[-+−]?\d+(?:\.\d+)?"
        series = rf"{one}{unit}(?:\s*(?:,\s*(?:and\s+)?|;|\band\b|&)\s*{one}{unit})*"
        name = rf"(?<![\w-])(?:{_any(self.names)})(?![\w-])"
        said: list[tuple[float, ...]] = []
        for found in re.finditer(rf"{name}(?:\s+are)?{_LINK}[\[(]?\s*(?P<series>{series})", text, re.IGNORECASE):
            units = {_unit(each) for each in re.findall(_any(self.units), found["series"], re.IGNORECASE) if self.units}
            if len(units) > 1 or _OTHER_UNIT.match(text, found.end()):
                return None
            factor = self.units[units.pop()] if units else 1.0
            said.append(tuple(_scaled(_float(each), factor) for each in re.findall(one, found["series"])))
        return (list(said[0]), "") if len(set(said)) == 1 else None


@dataclass(frozen=True, slots=True)
class Choice:
    """How each value of a closed set is worded. Two of them in one question are none.

    :param names: words before a value that say that it is meant ("grade: a"). With them, a value that is a single letter or
        a word of every sentence is read there alone.
    """

    words: Mapping[Any, tuple[str, ...]]
    names: tuple[str, ...] = ()

    def read(self, text: str) -> tuple[Any, str] | None:
        """See :meth:`Wording.read`."""
        said = set()
        for value, worded in self.words.items():
            telling = tuple(filter(_tells, worded)) if self.names else worded
            if telling and re.search(rf"(?<![\w])(?:{_any(telling)})(?![\w])", text, re.IGNORECASE):
                said.add(value)
            named = rf"(?<![\w-])(?:{_any(self.names)}){_LINK}(?:{_any(worded)})(?![\w])"
            if self.names and re.search(named, text, re.IGNORECASE):
                said.add(value)
        return (said.pop(), "") if len(said) == 1 else None


@dataclass(frozen=True, slots=True)
class Mention:
    """A condition that a question states or rules out. Not mentioned: the parameter's default holds."""

    words: tuple[str, ...]

    def read(self, text: str) -> tuple[bool, str] | None:
        """Whether the condition is stated, or ruled out ("no diabetes", "diabetes: no").

        :param text: of the question.
        :returns: True or False with a note; None: it is not mentioned.
        :raises LookupError: unclear.
        """
        said: set[bool] = set()
        for found in re.finditer(rf"(?<![\w-])(?:{_any(self.words)})(?![\w])", text, re.IGNORECASE):
            before = text[max(0, found.start() - _LOOK_BACK) : found.start()]
            answered = _ANSWERED.match(text, found.end())
            if answered is not None:
                said.add(answered["answer"].lower() in ("yes", "true", "present"))
            elif _NEGATED.search(before):
                said.add(False)
            elif re.search(rf"\b(?:{_NEGATORS}|nor|or)\b", _CLAUSE.split(before)[-1], re.IGNORECASE):
                raise LookupError(found[0])
            else:
                said.add(True)
        if len(said) > 1:
            raise LookupError(self.words[0])
        return (said.pop(), "") if said else None


@dataclass(frozen=True, slots=True)
class Text:
    """How a text is worded: behind one of its names, in quotation marks, or as far as *pattern* goes.

    :param names: words that stand before it.
    :param pattern: a regular expression for the text; case aside. It must not take a text's square in time.
    """

    names: tuple[str, ...]
    pattern: str = ""

    def read(self, text: str) -> tuple[str, str] | None:
        """See :meth:`Wording.read`."""
        name = rf"(?<![\w-])(?:{_any(self.names)})(?![\w-]){_LINK}"
        quoted = r"[\"“'‘](?P<quoted>[^\"”'’\n]{1,500})[\"”'’]"
        bare = rf"|(?P<bare>{self.pattern})(?!\w)" if self.pattern else ""
        said = {
            (found["quoted"] or found.groupdict().get("bare") or "").strip()
            for found in re.finditer(f"{name}(?:{quoted}{bare})", text, re.IGNORECASE)
        }
        return (said.pop(), "") if len(said) == 1 else None


@runtime_checkable
class Wording(Protocol):
    """How an argument is worded: what ``Annotated[T, ...]`` may say of a parameter. Those above, or one of your own."""

    def read(self, text: str) -> tuple[Any, str] | None:
        """The one value that *text* gives, as JSON, with a note for a person ("" for none); None where it does not say.

        :raises LookupError: what it says is unclear, so that no call is made.
        """
        ...


def reader(wordings: Mapping[str, Wording], *, required: Collection[str], whole: Collection[str] = ()) -> Reader:
    """A reader of one call: every argument by its wording.

    :param required: without these there is no call.
    :param whole: arguments that are whole numbers; with a fraction there is no call.
    """

    def read(text: str) -> tuple[Reading, ...]:
        arguments: dict[str, float | str] = {}
        notes: list[str] = []
        for name, wording in wordings.items():
            try:
                found = wording.read(text)
                if found is not None:
                    arguments[name] = _whole(found[0]) if name in whole else found[0]
                    notes.extend([found[1]] if found[1] else [])
            except LookupError:
                return ()
        return () if any(name not in arguments for name in required) else (Reading(arguments, tuple(notes)),)

    return read


def mentions(text: str, cue: str) -> bool:
    """Whether *text* holds *cue* as whole words; case, hyphens and spaces aside."""
    flat = " ".join(re.split(r"[\s\-_–]+", text.lower()))
    sought = " ".join(re.split(r"[\s\-_–]+", cue.lower()))
    return re.search(rf"(?<!\w){re.escape(sought)}(?!\w)", flat) is not None


def stems(text: str) -> frozenset[str]:
    """The stems of the words of *text* that say something. "lives" and "halves" are also those of "life" and "half"."""
    stem = Stemmer.Stemmer("english")
    words = [w for w in re.findall(r"[a-z]{2,}|[a-z]+\d\w*", text.lower()) if w not in STOPWORDS_EN_PLUS]
    return frozenset(stem.stemWord(re.sub(r"(?:ves|fe)$", "f", w)) for w in words)


def _any(words: Mapping[str, Any] | tuple[str, ...]) -> str:
    """A pattern for any of *words*, the longest first; spaces and hyphens alike, and every way to write micro."""
    return "|".join(
        re.sub(r"^u(?=mol|g\b)", "[uµμ]", re.escape(w)).replace(r"\ ", r"[\s-]+")
        for w in sorted(words, key=len, reverse=True)
    )


def _unit(text: str) -> str:
    return " ".join(re.split(r"[\s-]+", text.lower().replace("μ", "u").replace("µ", "u").strip()))


def _scaled(value: float, factor: float) -> float:
    """Rounded to 12 digits: a person who approves 3.0 should not read 2.9999999999999996."""
    return float(f"{value * factor:.12g}")


def _tells(word: str) -> bool:
    """Whether *word* by itself says that it is meant: a letter, or a word of every sentence, does not."""
    return len(word) > 1 and word.lower() not in STOPWORDS_EN_PLUS


def _whole(value: Any) -> Any:
    """LookupError for a number with a fraction, where a whole one is needed."""
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, float) and not value.is_integer():
        raise LookupError(str(value))
    return int(value)


def _float(text: str) -> float:
    return float(text.replace(",", "").replace("−", "-"))
