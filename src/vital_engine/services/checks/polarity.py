"""Negation and direction: a claim must not turn round what its quote says.

Both are rules over words, not understanding: they compare how a word that claim and quote share is negated, and
which way a word of change that has a neighbour in common points. A paraphrase can pass or fail them wrongly; how
often is measured by ``bench/support.py`` on sentences that support and contradict.
"""

from __future__ import annotations

from .words import Word, align, words

__all__ = ["negation", "opposed"]

_NEIGHBOURS = 4
"""Content words on either side of a word of change that may be what changes."""

_TURNED = 0.25
"""Share of the common content words whose negation must differ: a single one is often another clause's."""


def negation(claim: str, quote: str) -> str | None:
    """The word whose negation differs between *claim* and *quote*, or None.

    In a copy (:data:`.words.COPY`), a negation put in or left out is a difference, also one before the part that was
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
