"""Words of a text, read once: stem, polarity, direction. What the hard checks and the features look at.

Negation follows NegEx (Chapman et al. 2001): a trigger negates the content words behind it, up to six of them or
to the end of the clause. A negating prefix ("non-significant", "ineffective") negates its own word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache

from vital_engine.text.words import FUNCTION_WORDS, stem

__all__ = ["COPY", "Alignment", "Word", "align", "words"]

SCOPE = 6
"""Content words that a negation reaches at most (NegEx: five tokens; ours counts no function words)."""

COPY = 0.8
"""Share of a claim's words that stand in the quote, in order, from which on the claim counts as a copy of it."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word and what it is for. ``direction`` is (axis, sign) or None; ``negator`` triggers a negation."""

    text: str
    stem: str
    start: int
    end: int
    content: bool
    negator: bool = False
    negated: bool = False
    direction: tuple[str, int] | None = None


def _set(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_NEGATORS = _set("no not nor never neither none without cannot lack lacks lacked lacking absence unable")
_TWO_WORDS = {
    "fail": "to", "fails": "to", "failed": "to", "failing": "to", "failure": "to", "rather": "than", "instead": "of",
    "free": "of", "devoid": "of",
}  # fmt: skip
_NOT_NEGATING = frozenset({("not", "only"), ("not", "just"), ("no", "doubt"), ("not", "merely"), ("no", "longer")})
_CLAUSE_ENDS = _set("but however although though except whereas while which who because unless yet")
_PREFIXED = re.compile(
    r"(?:non|in|un|im|ir)(?=(?:significant|effective|efficacious|affected|altered|changed|related|likely|active|"
    r"associated|necessary|able|aware|detectable|involved|important|responsive|specific|sufficient|"
    r"adequate|appropriate|safe|stable|sensitive|complete|consistent|accurate|possible|common|required|essential|"
    r"reliable|available|relevant|reversible)(?:ly)?\b)"
)

_DIRECTIONS = {
    ("amount", 1): _set(
        """increase increases increased increasing elevate elevates elevated elevating elevation raise raises raised
        raising rise rises rose risen higher high greater larger more upregulate upregulates upregulated
        upregulation enhance enhances enhanced enhancing enhancement augment augments augmented exceed exceeds
        exceeded grow grows grew growth promote promotes promoted promoting promotion stimulate stimulates
        stimulated stimulation activate activates activated activation induce induces induced inducing induction
        amplify amplifies potentiate potentiates boost boosts accelerate accelerates accelerated gain gains
        overexpression"""
    ),
    ("amount", -1): _set(
        """decrease decreases decreased decreasing reduce reduces reduced reducing reduction reductions lower lowers
        lowered lowering low decline declines declined fall falls fell fallen less fewer smaller downregulate
        downregulates downregulated downregulation inhibit inhibits inhibited inhibiting inhibition suppress
        suppresses suppressed suppression diminish diminishes diminished attenuate attenuates attenuated attenuation
        drop drops dropped loss impair impairs impaired impairment block blocks blocked prevent prevents prevented
        prevention repress represses repressed repression deplete depletes depleted depletion abolish abolishes
        abolished slow slows slowed delay delays delayed limit limits impede impedes impeded hinder hinders"""
    ),
    ("worth", 1): _set(
        """improve improves improved improving improvement better benefit benefits beneficial favorable favourable
        ameliorate ameliorates ameliorated superior"""
    ),
    ("worth", -1): _set(
        """worsen worsens worsened worsening worse worst harm harms harmful detrimental adverse deteriorate
        deteriorates deteriorated unfavorable unfavourable aggravate aggravates exacerbate exacerbates exacerbated
        inferior"""
    ),
    ("length", 1): _set("""longer prolong prolongs prolonged prolonging lengthen lengthens lengthened"""),
    ("length", -1): _set("""shorter shorten shortens shortened shortening"""),
    ("sign", 1): _set("""positive positively"""),
    ("sign", -1): _set("""negative negatively inverse inversely"""),
    ("time", 1): _set("""before preceding earlier early"""),
    ("time", -1): _set("""after following later late"""),
    ("response", 1): _set("""sensitive sensitivity susceptible susceptibility"""),
    ("response", -1): _set("""resistant resistance"""),
    ("safety", 1): _set("""safe safer safety"""),
    ("safety", -1): _set("""unsafe dangerous"""),
}
_DIRECTION = {word: meaning for meaning, listed in _DIRECTIONS.items() for word in listed}
_SUBORDINATE = _set("although though while whereas because if when since despite unless after before")
_WORD_OR_SIGN = re.compile(r"\d+(?:[.,·]\d+)+|[^\W_]+(?:['’]t\b)?|[;:(),]")


@lru_cache(maxsize=8192)
def words(text: str) -> tuple[Word, ...]:
    """The words of *text* in order."""
    found = list[Word]()
    tokens = [(m[0], m.start(), m.end()) for m in _WORD_OR_SIGN.finditer(text)]
    left = 0  # content words that the open negation still reaches
    for i, (word, start, end) in enumerate(tokens):
        lower = word.lower().replace("’", "'")
        following = tokens[i + 1][0].lower() if i + 1 < len(tokens) else ""
        if not word[0].isalnum():
            # a comma ends a clause before a conjunction, or after an opening "Although ..."; in a list it does not
            listed = word == "," and not (found and found[0].text.lower() in _SUBORDINATE)
            left = left if listed and following not in {*_CLAUSE_ENDS, "and"} else 0
            continue
        if lower in _CLAUSE_ENDS:
            left = 0
        negator = lower.endswith("n't") or (lower in _NEGATORS and (lower, following) not in _NOT_NEGATING)
        negator = negator or _TWO_WORDS.get(lower) == following != ""
        content = lower not in FUNCTION_WORDS and not negator
        prefix = _PREFIXED.match(lower)
        bare = lower[prefix.end() :] if prefix else lower
        # "non-significant" comes as two tokens
        negated = content and ((left > 0) != (prefix is not None))
        direction = None if prefix else _DIRECTION.get(lower)
        found.append(Word(word, stem([bare])[0], start, end, content, negator, negated, direction))
        if negator or lower == "non":
            left = SCOPE if lower != "non" else 1
        elif content:
            left = max(0, left - 1)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Alignment:
    """How a claim's words stand in a quote, in order.

    ``share``: of the claim's words, 0 to 1; ``pairs``: the words in common; ``changes``: what was put for what.
    """

    share: float
    pairs: tuple[tuple[Word, Word], ...] = ()
    changes: tuple[tuple[tuple[Word, ...], tuple[Word, ...]], ...] = ()

    @property
    def copied(self) -> bool:
        """Whether the claim is a copy of the sentence, apart from case and punctuation."""
        return self.share >= COPY


@lru_cache(maxsize=1024)
def align(claim: str, quote: str) -> Alignment:
    """Claim and quote side by side, without their figures: those have a check of their own.

    What the quote says before the first and behind the last common word is no change.
    """
    ours, theirs = (tuple(w for w in words(text) if not w.text[0].isdigit()) for text in (claim, quote))
    if not ours or not theirs:
        return Alignment(0.0)
    matcher = SequenceMatcher(None, [w.text.lower() for w in ours], [w.text.lower() for w in theirs], autojunk=False)
    steps = matcher.get_opcodes()
    pairs = list[tuple[Word, Word]]()
    changes = list[tuple[tuple[Word, ...], tuple[Word, ...]]]()
    for i, (kind, a, a_end, b, b_end) in enumerate(steps):
        if kind == "equal":
            pairs += zip(ours[a:a_end], theirs[b:b_end], strict=True)
        elif kind != "insert" or i not in (0, len(steps) - 1):
            changes.append((ours[a:a_end], theirs[b:b_end]))
    return Alignment(len(pairs) / len(ours), tuple(pairs), tuple(changes))
