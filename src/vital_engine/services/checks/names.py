"""Names: what a claim calls by name, its source must name too.

A name is a word with a capital inside a sentence, an abbreviation (TNF-α, HbA1c, IL-6), or a drug by its
international non-proprietary name (told by its stem: WHO, "The use of stems in the selection of INN"). An
abbreviation also stands in its source when the words it is made of do, and the other way round.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["absent", "names"]

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
