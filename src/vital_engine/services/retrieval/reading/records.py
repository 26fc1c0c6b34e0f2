"""Corpora of records: JSON Lines, or one JSON array or object, each record a document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from vital_engine.errors import ConfigError

from .document import Document, Problem, compose

__all__ = ["MOST_PROBLEMS", "Fields", "checked", "document_of", "lines_of", "records_in"]

Fields = Mapping[str, str | Sequence[str] | None]
"""Which fields of a record are its ``id``, ``title`` and ``text`` (several are joined, in the order given).
``{"title": None}`` says that there is none; what is not named is guessed."""

MOST_PROBLEMS = 1000

_IDS = ("_id", "id", "pmid", "pubid", "docid", "doc_id", "document_id", "uid", "uuid")
_TITLES = ("title", "heading", "headline", "name")
_TEXTS = (
    "text",
    "body",
    "content",
    "abstract",
    "passage",
    "contexts",
    "context",
    "sentences",
    "paragraphs",
    "sections",
)
_LAST_TEXTS = ("answer", "description", "summary")
_SENTENCES = frozenset(["sentences", "sents", "tokens"])


def records_in(text: str) -> Iterator[tuple[str, Any]]:
    """The records of one JSON value, and where each stands.

    :param text: JSON: an array of records, an object whose values are all objects (its keys are their ids), or one
        record.
    :raises ValueError: it is not JSON.
    """
    value = json.loads(text)
    if isinstance(value, list):
        yield from ((f"item {number}", item) for number, item in enumerate(value, 1))
    elif isinstance(value, dict) and value and all(isinstance(item, dict) for item in value.values()):
        for key, item in value.items():
            yield f"record {key}", item if any(name in item for name in _IDS) else {"id": key, **item}
    else:
        yield "record 1", value


def checked(fields: Fields | None) -> dict[str, str | Sequence[str] | None]:
    """*fields* as a dict.

    :param fields: see :data:`Fields`.
    :raises ConfigError: it names something other than id, title and text.
    """
    unknown = (fields or {}).keys() - {"id", "title", "text"}
    if unknown:
        raise ConfigError(f"unknown fields {', '.join(sorted(unknown))}: a record has id, title and text")
    return dict(fields or {})


def document_of(record: Any, *, source: str, media_type: str, fields: Fields | None = None) -> Document:
    """The document that *record* is. Fields that are neither id, title nor text become its metadata, which is
    kept and never searched: a question that comes with its own source, say, must not find it by its own words.

    Guesses, where *fields* does not say: the text is the first of text, body, content, abstract, passage,
    contexts, sentences, ...; else an answer, whose question then is the title.

    :raises ValueError: it is not an object, or holds no text.
    """
    if not isinstance(record, dict):
        raise ValueError(f"not an object but {type(record).__name__}")
    given = checked(fields)
    texts = _names(given["text"]) if "text" in given else _guess(record, (*_TEXTS, *_LAST_TEXTS))
    ids = _names(given["id"]) if "id" in given else _guess(record, _IDS)
    if "title" in given:
        titles = _names(given["title"])
    else:
        asked = ("question",) if set(texts) & {"answer"} else ()
        titles = _guess({k: v for k, v in record.items() if k not in texts}, (*_TITLES, *asked))
    parts = [part for part in (_text(record.get(name), name) for name in texts) if part.strip()]
    if not parts:
        raise ValueError(f"no text in {', '.join(texts) or 'any field that a text is expected in'}")
    used = {*texts, *titles, *ids}
    return compose(
        ["\n\n".join(parts)],
        source=source,
        media_type=media_type,
        id=" ".join(_text(record.get(name), name) for name in ids),
        title=" ".join(_text(record.get(name), name) for name in titles),
        metadata={key: value for key, value in record.items() if key not in used},
    )


def lines_of(
    file: BinaryIO, *, source: str, media_type: str, fields: Fields | None, longest: int, problems: list[Problem]
) -> Iterator[Document]:
    """A document per line of JSON Lines. A line that is none becomes one of *problems*, with its number; behind
    the first :data:`MOST_PROBLEMS` they are only counted."""
    uncounted = 0
    for number, line in enumerate(_lines(file, longest), 1):
        if not line.strip():
            continue
        try:
            if len(line) > longest:
                raise ValueError(f"longer than {longest} bytes")
            record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            document = document_of(record, source=source, media_type=media_type, fields=fields)
        except (ValueError, RecursionError) as error:  # JSON and Unicode errors are ValueErrors
            if len(problems) < MOST_PROBLEMS:
                problems.append(Problem(f"line {number}", str(error)))
            else:
                uncounted += 1
        else:
            yield document
    if uncounted:
        problems.append(Problem("further lines", f"{uncounted} more could not be read"))


def _lines(file: BinaryIO, longest: int) -> Iterator[bytes]:
    """The lines of *file*; of one that is too long, its first ``longest + 1`` bytes, without reading it whole."""
    while line := file.readline(longest + 1):
        yield line
        while len(line) > longest and not line.endswith(b"\n"):
            line = file.readline(longest + 1)


def _names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if given is None else (given,) if isinstance(given, str) else tuple(given)


def _guess(record: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """The first of *names* that *record* has something in, also if spelled in another case."""
    spelled = {key.lower(): key for key in record}
    for name in names:
        key = spelled.get(name)
        if key is not None and _text(record[key], name).strip():
            return (key,)
    return ()


def _text(value: Any, name: str) -> str:
    """What *value* says: a string, a list of paragraphs (of sentences, if so named), or an object around those."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        between = " " if name.lower() in _SENTENCES else "\n\n"
        return between.join(part for part in (_text(item, name) for item in value) if part.strip())
    if isinstance(value, dict):
        heading, body = _guess(value, _TITLES), _guess(value, _TEXTS)
        return "\n\n".join(_text(value[key], key) for key in (*heading, *body))
    return ""
