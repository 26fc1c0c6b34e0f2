"""Hard checks: figures, negation, direction, names and wording of a claim, held against a quote.

Names: what a claim calls by name, its source must name too. A name is a word with a capital inside a sentence, an
abbreviation (TNF-α, HbA1c, IL-6), or a drug by its international non-proprietary name (told by its stem: WHO, "The use
of stems in the selection of INN"). An abbreviation also stands in its source when the words it is made of do, and the
other way round.

Negation and direction: a claim must not turn round what its quote says. Both are rules over words, not understanding:
they compare how a word that claim and quote share is negated, and which way a word of change that has a neighbour in
common points. A paraphrase can pass or fail them wrongly; how often is measured by ``bench/support.py`` on sentences
that support and contradict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .alignment import Word, align, words
from .figures import figures, unmatched

__all__ = ["WORDING", "Check", "absent", "agree", "hard_checks", "names", "negation", "opposed", "wording"]

WORDING = 0.5
"""Least share of a claim's words that the quote has if the wording is to agree.

Without it, .35 of the sentences that contradict a SciFact claim would pass all checks and the score's threshold,
and .59 of those that support it; with it .10 and .37 (validation split, ``bench/support.py``).
"""


@dataclass(frozen=True, slots=True)
class Check:
    """One hard check: "figures", "negation", "direction", "names" or "wording"; ``note`` says what disagreed."""

    name: str
    agrees: bool
    note: str = ""


def hard_checks(claim: str, quote: str, context: str = "") -> tuple[Check, ...]:
    """The checks that apply to *claim* against *quote*; names may also stand in *context* (passage, title).

    Markers must be stripped from the claim before: ``[1]`` would be read as a figure.
    """
    found = []
    if figures(claim):
        missing = [f.text for f in unmatched(claim, quote)] or _out_of_order(claim, quote)
        found.append(Check("figures", not missing, f"not in the quote: {', '.join(missing)}" if missing else ""))
    turned = negation(claim, quote)
    found.append(Check("negation", turned is None, f"negated differently: {turned}" if turned else ""))
    opposite = opposed(claim, quote)
    found.append(Check("direction", opposite is None, "{} against {}".format(*opposite) if opposite else ""))
    if names(claim):
        gone = absent(claim, f"{quote} {context}")
        found.append(Check("names", not gone, f"not in the source: {', '.join(gone)}" if gone else ""))
    share = wording(claim, quote)
    found.append(Check("wording", share >= WORDING, "" if share >= WORDING else f"{share:.0%} of the words in common"))
    return tuple(found)


def wording(claim: str, quote: str) -> float:
    """Share of the content words of *claim*, by their stems, that stand in *quote*; 1 if it has none."""
    stems = {w.stem for w in words(claim) if w.content}
    return len(stems & {w.stem for w in words(quote) if w.content}) / len(stems) if stems else 1.0


def agree(checks: tuple[Check, ...]) -> bool:
    """Whether none disagrees."""
    return all(c.agrees for c in checks)


def _out_of_order(claim: str, quote: str) -> list[str]:
    """The figures of a copy that change places with one another ("12 % against 15 %" turned round)."""
    if not align(claim, quote).copied:
        return []
    theirs = iter(figures(quote))
    return [f.text for f in figures(claim) if not any(f.values & other.values for other in theirs)]


_NEIGHBOURS = 4
"""Content words on either side of a word of change that may be what changes."""

_TURNED = 0.25
"""Share of the common content words whose negation must differ: a single one is often another clause's."""


def negation(claim: str, quote: str) -> str | None:
    """The word whose negation differs between *claim* and *quote*, or None.

    In a copy (:data:`.alignment.COPY`), a negation put in or left out is a difference, also one before the part that was
    copied. Otherwise one side must be free
    of negation and the other negate content words that both share (:data:`_TURNED`); where both negate something, scope cannot
    be told from words alone, and nothing is said.
    """
    ours, theirs = words(claim), words(quote)
    alignment = align(claim, quote)
    if alignment.copied:
        for mine, other in alignment.changes:
            if _changed(mine) % 2 != _changed(other) % 2:
                return next(w.text for w in (*mine, *other) if _negates(w) or w.text.lower() == "not")
        return next((w.text for w, other in alignment.pairs if w.content and w.negated != other.negated), None)
    if bool(_negations(ours)) == bool(_negations(theirs)):
        return None
    here, there = _polarity(ours), _polarity(theirs)
    shared = [stem for stem in here if stem in there]
    turned = [stem for stem in shared if not here[stem] & there[stem]]
    if not turned or len(turned) < _TURNED * len(shared):
        return None
    return next(w.text for w in ours if w.stem == turned[0])


def _negations(text: tuple[Word, ...]) -> int:
    return sum(_negates(w) for w in text)


def _changed(text: tuple[Word, ...]) -> int:
    """Negations in a stretch that was put in or left out. A "not" before an "only" that was there already is one."""
    said = [w.text.lower() for w in text]
    return _negations(text) + ("not" in said and not _negations(text) and not {"only", "just", "merely"} & set(said))


def _negates(word: Word) -> bool:
    return word.negator or word.text.lower() == "non" or (word.content and _prefixed(word))


def _prefixed(word: Word) -> bool:
    """Whether the stem was taken without a negating prefix ("ineffective" -> "effect")."""
    return bool(word.stem) and word.text[0].lower() != word.stem[0].lower()


def _polarity(text: tuple[Word, ...]) -> dict[str, set[bool]]:
    signs: dict[str, set[bool]] = {}
    for word in text:
        if word.content:
            signs.setdefault(word.stem, set()).add(word.negated)
    return signs


def opposed(claim: str, quote: str) -> tuple[str, str] | None:
    """A word of change of *claim* and the word of *quote* that points the other way about the same thing, or None.

    In a copy, a word put for its opposite. Otherwise: the words of change near a common content word all point
    the other way. Negated words of change are left to :func:`negation`: "not increased" is not "decreased".
    """
    alignment = align(claim, quote)
    if alignment.copied:
        for mine, other in alignment.changes:
            for word in mine:
                against = next((w for w in other if _against(word, w)), None)
                if against is not None:
                    return word.text, against.text
        return None
    theirs = _changes(words(quote))
    for word, near in _changes(words(claim)):
        about = [w for w, others in theirs if near & others and w.direction and word.direction]
        about = [w for w in about if w.direction and word.direction and w.direction[0] == word.direction[0]]
        if about and all(_against(word, w) for w in about):
            return word.text, about[0].text
    return None


def _against(one: Word, other: Word) -> bool:
    a, b = one.direction, other.direction
    return a is not None and b is not None and a[0] == b[0] and a[1] == -b[1]


def _changes(text: tuple[Word, ...]) -> list[tuple[Word, frozenset[str]]]:
    """The words of change that are not negated, each with the stems of its neighbours."""
    content = [w for w in text if w.content or w.direction]
    found = []
    for i, word in enumerate(content):
        if word.direction is not None and not word.negated:
            around = content[max(0, i - _NEIGHBOURS) : i] + content[i + 1 : i + 1 + _NEIGHBOURS]
            found.append((word, frozenset(w.stem for w in around if w.direction is None)))
    return found


_TOKEN = re.compile(r"[^\W_]+(?:[-/'’+][^\W_]+)*\+?")
_DRUG = re.compile(
    r"[a-z]{2,}(?:mab|nib|statin|pril|prilat|sartan|olol|conazole|mycin|cillin|ciclovir|navir|tegravir|buvir|gliptin|"
    r"gliflozin|glitazone|glutide|natide|parin|xaban|gatran|prazole|setron|triptan|oxetine|azepam|azolam|barbital|"
    r"caine|floxacin|cycline|formin|platin|rubicin|taxel|dronate|dronic|lukast|profen|coxib|semide|thiazide|dipine|"
    r"trexate|sone|solone|terol|tropium|ciclib|parib|limus|kinra|cept|tinib|zepine|peridol|idone|apine|ipramine|"
    r"triptyline|oprost|fibrate|penem|poetin|grastim)s?"
)
_NO_DRUG = re.compile(r"(?:.*(?:accept|concept|except|precept|intercept|suscept))s?")
_LATIN = frozenset({"i", "ii", "iii", "iv", "v", "et", "al"})


@lru_cache(maxsize=4096)
def names(text: str) -> tuple[str, ...]:
    """The names in *text*, in order, each once. The first word of a sentence counts only if it is one by its form."""
    found = dict[str, None]()
    shouting = text.isupper()
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = not re.search(r"[^\W_]", text[: match.start()]) or bool(re.search(r"[.!?:]\s*$", text[: match.start()]))
        capital = token[0].isupper() and len(token) > 1 and not first
        marked = len(token) > 1 and any(c.isupper() for c in token[1:])
        mixed = any(c.isalpha() for c in token) and any(c.isdigit() for c in token) and not token[0].isdigit()
        drug = _DRUG.fullmatch(token.lower()) and not _NO_DRUG.fullmatch(token.lower())
        if ((capital or marked) and not shouting) or mixed or drug:
            found[token] = None
    return tuple(found)


def absent(claim: str, source: str) -> tuple[str, ...]:
    """The names of *claim* that *source* (the quote with its passage and title) does not have."""
    plain = _plain(source)
    initials = "".join(w[0] for w in re.findall(r"[^\W_]+", source.lower()))
    missing = []
    for name in names(claim):
        key = _plain(name)
        singular = key.removesuffix("s")
        if key.lower() in _LATIN or singular in plain:
            continue
        # "HIV-positive" and "M2-like" stand there if HIV and M2 do: the rest is a plain word
        parts = [_plain(part).removesuffix("s") for part in re.split(r"[-/]", name) if _is_marked(part)]
        if _abbreviates(name, initials) or (parts and all(part in plain for part in parts)):
            continue
        if _abbreviated(name, claim, source):
            continue
        missing.append(name)
    return tuple(missing)


def _is_marked(part: str) -> bool:
    """Whether *part* is a name by its form: a capital or a digit in it."""
    return any(c.isupper() or c.isdigit() for c in part)


def _plain(text: str) -> str:
    """Letters and digits only, lower case, with Greek letters spelled out: TNF-α and "TNF alpha" are one name."""
    for letter, spelled in (("α", "alpha"), ("β", "beta"), ("γ", "gamma"), ("δ", "delta"), ("κ", "kappa"), ("μ", "mu")):
        text = text.replace(letter, spelled)
    return re.sub(r"[\W_]+", "", text.lower())


def _abbreviates(name: str, initials: str) -> bool:
    """Whether the words whose first letters make up *name* stand side by side in the source."""
    capitals = name.removesuffix("s").lower()
    return name.removesuffix("s").isupper() and len(capitals) > 1 and capitals.isalpha() and capitals in initials


def _abbreviated(name: str, claim: str, source: str) -> bool:
    """Whether *name* belongs to a run of words of the claim whose abbreviation stands in the source."""
    tokens = [m[0] for m in _TOKEN.finditer(claim)]
    at = tokens.index(name)
    for start in range(max(0, at - 4), at + 1):
        for end in range(max(at + 1, start + 2), min(len(tokens), start + 6) + 1):
            short = "".join(t[0] for t in tokens[start:end]).upper()
            if re.search(rf"\b{re.escape(short)}s?\b", source):
                return True
    return False
