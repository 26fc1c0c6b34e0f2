"""Sentences of biomedical English with exact offsets, whole or as a text streams in.

``split(text)`` is ``SentenceStream`` fed once and closed, so that a streamed answer and a stored one are cut
at the same places, however the stream was chunked. Every decision looks at a bounded window of the text:
time is linear, and what is kept between two pieces is at most one unfinished sentence.

The rules, in the order in which they are asked:

* A line break ends a sentence: list items, headings and table rows stand for themselves.
* ``.``, ``!``, ``?`` and ``…`` end one if what follows begins another: white space, then something other than
  a plain lower-case word. ``mRNA``, ``p53`` and ``α-synuclein`` do begin sentences.
* Closing quotes and brackets, and the citation markers behind a full stop (``low. [1]``, ``low.[1]-[3]``),
  belong to the sentence before them.
* A dot after ``e.g.``, ``Fig.``, ``vs.`` never ends a sentence; after ``et al.``, ``U.S.``, ``i.v.`` or an
  initial it does so only before a word that usually opens one ("The", "We", "However").
* The number of a list item (``1. Take``) stays with its item.
* A sentence has at most :data:`LONGEST` characters; longer ones (tables run together) are cut at white space.
* A stretch without a letter or digit (a rule, a lone bullet) is not a sentence.

The approach, rules over a closed list of abbreviations, follows the Golden Rules of Sadvilkar and Neumann,
"PySBD" (NLP-OSS 2020), narrowed to biomedical text and made incremental.
"""

from __future__ import annotations

import re

from vital_engine.nouns import Sentence

__all__ = ["LONGEST", "SentenceStream", "split"]

LONGEST = 2000
"""The most characters in one sentence."""

_UNKNOWN = -1  # the window ends before the answer does
_NO = 0

_NEWLINES = "\n\r\v\f\x85\u2028\u2029"
_STOP = re.compile(f"[.!?…{_NEWLINES}]")
_SPACE = re.compile(r"\s*")
_WORDLIKE = re.compile(r"[^\W_]")
_TERMINALS = frozenset(".!?…")
_CLOSERS = frozenset(")]}\"'”’»*_")
_OPENERS = frozenset("([{\"'“‘«*_<")
_MARKER_CHARACTERS = frozenset("0123456789 ,;-–—^")
_BETWEEN_MARKERS = frozenset(" \t\u00a0,;-–—")
_LONGEST_GAP = 32  # white space longer than this is layout, and separates
_LONGEST_MARKER = 40
_MOST_MARKERS = 16
_LONGEST_WORD = 24
_MOST_QUOTES = 8


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NEVER_LAST = _words(
    "approx c.f ca cf dr drs e.g eq eqn eqs fig figs i.e mr mrs ms messrs prof ref refs resp sec sect sr st supp suppl "
    "tab viz vs v.s"
)
_BEFORE_A_NUMBER = _words("apr art aug ch chap dec feb jan jul jun mar no nos nov oct p para pp pt sep sept vol vols")
_SELDOM_LAST = _words("al etc inc ltd co corp jr ph.d m.d sp spp subsp var syn incl excl max min avg")
_LETTERED = _words(
    "antigen appendix arm category class cohort complex factor figure grade group hepatitis immunoglobulin influenza "
    "level panel part phase protein schedule serogroup serotype stage strain table type vitamin vitamins"
)
_STARTERS = _words(
    "Additionally After All Also Although Among An And Another As At Baseline Because Before Between Both But By "
    "Compared Consequently Conversely Current Data Despite Does During Each Eight Evidence Finally Findings First Five "
    "For Four From Furthermore Given Here How However If In Is It Its Many Methods Moreover Most Nevertheless Nine No "
    "None Of On One Only Other Our Overall Participants Patients Previous Recent Results Second Seven Several Similarly "
    "Since Six Some Such Ten That The Their There Therefore These They This Those Three Thus To Together Treatment Two "
    "Under Unlike Using We What When Whereas Whether Which While With Within Without You"
)
_DOTTED = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]")
_LIST_NUMBER = re.compile(r"\d{1,3}|[A-Za-z]|[ivxIVX]{1,4}")


def split(text: str) -> list[Sentence]:
    """The sentences of *text*, in order. ``text[s.start:s.end] == s.text``; between them stands only white space,
    or stretches without a letter or digit."""
    stream = SentenceStream()
    return [*stream.feed(text), *stream.close()]


class SentenceStream:
    """Sentences of a text that comes in pieces, each as soon as it is known to have ended.

    For any chunking of a text, what all calls of :meth:`feed` and the one of :meth:`close` gave is
    ``split(text)``. Offsets count from the first character that was ever fed.
    """

    __slots__ = ("_base", "_buffer", "_count", "_scan", "_start")

    def __init__(self) -> None:
        self._buffer = ""  # what follows the last sentence
        self._base = 0  # where the buffer begins in the whole text
        self._start = 0  # where the open sentence begins in the buffer
        self._scan = 0  # up to where no decision is outstanding
        self._count = 0

    def feed(self, piece: str) -> list[Sentence]:
        """The sentences that are known to have ended, now that *piece* has come."""
        settled = self._scan == len(self._buffer)
        self._buffer += piece
        if settled and len(self._buffer) < LONGEST and _STOP.search(piece) is None:
            self._scan = len(self._buffer)  # most pieces of a model's text: nothing can end here
            return []
        return self._cut(closed=False)

    def close(self) -> list[Sentence]:
        """The rest. The stream is empty afterwards, and goes on counting if it is fed again."""
        return self._cut(closed=True)

    def _cut(self, *, closed: bool) -> list[Sentence]:
        text, found = self._buffer, list[Sentence]()
        while True:
            self._skip_space(text)
            limit = self._start + LONGEST
            stop = _STOP.search(text, max(self._scan, self._start), limit)
            if stop is None:
                if len(text) < limit:
                    self._scan = len(text)
                    break
                self._emit(text, _last_space(text, self._start, limit), found)
                continue
            at = stop.start()
            if text[at] in _NEWLINES:
                self._emit(text, at, found)
                continue
            end = _ending(text, self._start, at, closed)
            if end == _UNKNOWN:
                self._scan = at
                break
            if end == _NO or not _WORDLIKE.search(text, self._start, end):
                self._scan = at + 1
            else:
                self._emit(text, end, found)
        if closed:
            self._emit(text, len(text), found)
        self._buffer = text[self._start :]
        self._base += self._start
        self._scan = max(0, self._scan - self._start)
        self._start = 0
        return found

    def _skip_space(self, text: str) -> None:
        match = _SPACE.match(text, self._start)
        if match is not None:
            self._start = match.end()

    def _emit(self, text: str, end: int, found: list[Sentence]) -> None:
        sentence = text[self._start : end].rstrip()
        if _WORDLIKE.search(sentence):
            start = self._base + self._start
            found.append(Sentence(sentence, start, start + len(sentence), self._count))
            self._count += 1
        self._start = self._scan = end


def _last_space(text: str, start: int, limit: int) -> int:
    """Where to cut a sentence that is too long: behind its last word that fits whole."""
    for at in range(limit - 1, start + LONGEST // 2, -1):
        if text[at].isspace():
            return at
    return limit


def _ending(text: str, start: int, at: int, closed: bool) -> int:
    """Where the sentence ends whose terminal is ``text[at]``; _NO if it does not, _UNKNOWN if more must be read."""
    size, end = len(text), at + 1
    while end < size and text[end] in _CLOSERS and end - at <= _MOST_QUOTES:
        end += 1
    end, marked = _past_markers(text, end, closed)
    if end == _UNKNOWN:
        return _UNKNOWN
    if end == size:
        return end if closed else _UNKNOWN
    following = end
    if not text[end].isspace():
        # "low.[1]The": sloppy, but common in models' text; without a marker it is "3.5", "e.g." or a name
        if not (marked and text[end].isupper()):
            return _NO
    else:
        while following < size and text[following].isspace():
            if text[following] in _NEWLINES or following - end >= _LONGEST_GAP:
                return end
            following += 1
        quotes = following + _MOST_QUOTES
        while following < size and text[following] in _OPENERS and following < quotes:
            following += 1
        if following == size:
            return end if closed else _UNKNOWN
    begins = _begins(text, start, at, following, marked=marked, closed=closed)
    return end if begins == 1 else begins


def _past_markers(text: str, end: int, closed: bool) -> tuple[int, bool]:
    """The end of the citation markers that begin at or, over blanks, behind *end*; and whether there are any."""
    marked = False
    for _ in range(_MOST_MARKERS):
        at, furthest = end, end + (4 if marked else _LONGEST_GAP)
        blanks = _BETWEEN_MARKERS if marked else frozenset(" \t\u00a0")
        while at < len(text) and text[at] in blanks and at < furthest:
            at += 1
        if at == len(text):
            return (end if closed else _UNKNOWN), marked
        if text[at] != "[":
            return end, marked
        after = _past_marker(text, at, closed)
        if after == _UNKNOWN:
            return _UNKNOWN, marked
        if after == _NO:
            return end, marked
        end, marked = after, True
    return end, marked


def _past_marker(text: str, at: int, closed: bool) -> int:
    """The end of the marker that opens at ``text[at]``, such as ``[1]``, ``[2, 3]`` or ``[^4]``; or _NO, _UNKNOWN."""
    digits = False
    for after in range(at + 1, at + _LONGEST_MARKER):
        if after == len(text):
            return _NO if closed else _UNKNOWN
        if text[after] == "]":
            return after + 1 if digits else _NO
        if text[after] not in _MARKER_CHARACTERS:
            return _NO
        digits = digits or text[after].isdigit()
    return _NO


def _begins(text: str, start: int, at: int, following: int, *, marked: bool, closed: bool) -> int:
    """Whether ``text[following]`` begins a sentence after the terminal ``text[at]``: 1, _NO or _UNKNOWN."""
    first = text[following]
    token, before = _tokens(text, start, at) if text[at] == "." else ("", "")
    known = token.lower()
    if known in _NEVER_LAST or (known in _BEFORE_A_NUMBER and first.isdigit()):
        return _NO
    if _LIST_NUMBER.fullmatch(token) and not before:
        return _NO
    initial = len(token) == 1 and token.isupper() and before.lower() not in _LETTERED
    if not (initial or known in _SELDOM_LAST or _DOTTED.fullmatch(token)):
        if marked or not first.islower():
            return 1
        return _unusual(text, following, closed)
    if marked and known != "al":
        return _NO if first.islower() else 1
    if first.islower() or first.isdigit():
        return _NO
    if not first.isalpha():
        return 1
    word = _word(text, following)
    if following + len(word) == len(text) and not closed and len(word) < _LONGEST_WORD:
        return _UNKNOWN
    return int(word in _STARTERS)


def _tokens(text: str, start: int, at: int) -> tuple[str, str]:
    """What stands before the dot at *at*, without its opening brackets, and the word before that, if any."""
    words = text[max(start, at - 2 * _LONGEST_WORD) : at].rsplit(None, 2)
    if not words or text[at - 1].isspace():
        return "", ""
    token = re.split(r"[(\[/–—=]", words[-1])[-1].lstrip("{\"'“‘«*_<")
    return token, words[-2] if len(words) > 1 else ""


def _word(text: str, at: int) -> str:
    end = at
    while end < len(text) and end - at < _LONGEST_WORD and text[end].isalnum():
        end += 1
    return text[at:end]


def _unusual(text: str, at: int, closed: bool) -> int:
    """Whether the lower-case word at *at* is a name such as mRNA, p53 or α: those begin sentences too."""
    word = _word(text, at)
    if not word[0].isascii() or any(c.isupper() or c.isdigit() for c in word):
        return 1
    unfinished = at + len(word) == len(text) and len(word) < _LONGEST_WORD
    return _UNKNOWN if unfinished and not closed else _NO
