"""Files to documents: text, Markdown, HTML, PDF, DOCX and corpora in JSON.

    reading = read(Path("guideline.pdf"))
    for document in reading: ...
    reading.problems                      # what could not be read, and where

``document`` what comes out, encodings and wrapped lines; ``markup`` HTML and Markdown; ``records`` JSON
corpora and their field mapping; ``sandbox`` and ``child`` the disposable process that opens PDF and DOCX.
May import errors and nouns; knows nothing of search.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import BinaryIO

from vital_engine.errors import UnreadableDocument
from vital_engine.nouns.codec import JSON

from .document import Document, Page, Problem, compose, decoded, normalised, unwrapped
from .markup import declared_encoding, from_html, from_markdown
from .records import Fields, checked, document_of, lines_of, records_in
from .sandbox import Limits, parse

__all__ = ["MEDIA_TYPES", "Document", "Fields", "Limits", "Page", "Problem", "Reading", "normalised", "read"]

DEFAULT_LIMITS = Limits()

_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_JSONL = "application/jsonl"

MEDIA_TYPES = {
    ".txt": "text/plain",
    ".text": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "text/html",
    ".pdf": "application/pdf",
    ".docx": _DOCX,
    ".jsonl": _JSONL,
    ".ndjson": _JSONL,
    ".json": "application/json",
}
"""What can be read, by the ending of the name."""

_ALIASES = {
    "application/x-ndjson": _JSONL,
    "application/x-jsonlines": _JSONL,
    "application/xhtml+xml": "text/html",
    "text/x-markdown": "text/markdown",
}


class Reading(Iterator[Document]):
    """The documents of one file, as they are read; ``problems`` grows meanwhile and is whole at the end."""

    def __init__(self, documents: Iterator[Document], problems: list[Problem], media_type: str) -> None:
        self._documents, self.problems, self.media_type = documents, problems, media_type

    def __next__(self) -> Document:
        return next(self._documents)


def read(
    given: Path | str | bytes,
    *,
    name: str = "",
    media_type: str | None = None,
    fields: Fields | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Reading:
    """The documents in *given*, a path or the bytes themselves. Blocks while it is iterated over.

    :param name: of the source, shown with each citation; needed for bytes, by default the path's last part.
    :param media_type: by default found from the content for PDF and DOCX, else from the name's ending.
    :param fields: for JSON corpora, see :data:`.records.Fields`.
    :raises ConfigError: *fields* names something else than id, title and text.
    :raises UnreadableDocument: at once if there is no such file or it is of no known kind; while iterating if it
        is encrypted, broken, without text or over a limit. A bad line of a corpus is one of ``problems`` instead.
    """
    checked(fields)
    if not isinstance(given, bytes):
        path = Path(given)
        name = name or path.name
        if not path.is_file():
            raise UnreadableDocument(f"{path}: no such file", service="reading")
    elif not name:
        raise ValueError("bytes need a name")
    head = given[:4096] if isinstance(given, bytes) else _head(path)
    kind = _kind(head, name, media_type)
    problems: list[Problem] = []
    source = io.BytesIO(given) if isinstance(given, bytes) else path
    return Reading(_documents(source, kind, name, fields, limits, problems), problems, kind)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4096)
    except OSError as error:
        raise UnreadableDocument(f"{path}: {error.strerror}", service="reading") from error


def _kind(head: bytes, name: str, stated: str | None) -> str:
    # the content wins where it says what it is: browsers and mail programs mislabel files
    if b"%PDF-" in head[:1024]:
        return "application/pdf"
    ending = MEDIA_TYPES.get(PurePath(name).suffix.lower(), "")
    stated = (stated or "").partition(";")[0].strip().lower()
    kind = _ALIASES.get(stated, stated)
    if kind not in MEDIA_TYPES.values():
        kind = ending
    if head.startswith(b"PK\x03\x04"):
        kind = _DOCX if kind == _DOCX or not PurePath(name).suffix else "application/zip"
    if kind == "application/zip" or (not kind and stated and not stated.startswith("text/")):
        raise UnreadableDocument(f"{name}: cannot read {stated or 'archives'}", service="reading")
    if not kind:
        opening = head.lstrip()[:64].lower()
        kind = "text/html" if opening.startswith((b"<!doctype html", b"<html")) else "text/plain"
    return kind


def _documents(
    source: BinaryIO | Path, kind: str, name: str, fields: Fields | None, limits: Limits, problems: list[Problem]
) -> Iterator[Document]:
    if kind == _JSONL:
        with source.open("rb") if isinstance(source, Path) else source as file:
            yield from _some(
                lines_of(file, source=name, media_type=kind, fields=fields, longest=limits.bytes, problems=problems),
                name,
                problems,
            )
        return
    data = _whole(source, name, limits)
    if kind == "application/json":
        yield from _some(_records(data, name, kind, fields, problems), name, problems)
        return
    document = _one(data, kind, name, limits)
    if not document.text:
        raise UnreadableDocument(f"{name} holds no text", service="reading")
    problems.extend(document.problems)
    yield document


def _some(documents: Iterator[Document], name: str, problems: list[Problem]) -> Iterator[Document]:
    """*documents*; UnreadableDocument if there was none."""
    count = 0
    for count, document in enumerate(documents, 1):  # noqa: B007 - the count is asked for behind the loop
        yield document
    if not count:
        first = f": {problems[0]}" if problems else ""
        raise UnreadableDocument(f"{name} holds no document{first}", service="reading")


def _records(data: bytes, name: str, kind: str, fields: Fields | None, problems: list[Problem]) -> Iterator[Document]:
    text, notes = decoded(data)
    problems.extend(notes)
    try:
        records = list(records_in(text))
    except (ValueError, RecursionError) as error:
        raise UnreadableDocument(f"{name} is not JSON: {error}", service="reading") from error
    for where, record in records:
        try:
            document = document_of(record, source=name, media_type=kind, fields=fields)
        except RecursionError:
            problems.append(Problem(where, "nested too deeply"))
        except ValueError as error:
            problems.append(Problem(where, str(error)))
        else:
            yield document


def _whole(source: BinaryIO | Path, name: str, limits: Limits) -> bytes:
    try:
        with source.open("rb") if isinstance(source, Path) else source as file:
            data = file.read(limits.bytes + 1)
    except OSError as error:
        raise UnreadableDocument(f"{name}: {error.strerror}", service="reading") from error
    if len(data) > limits.bytes:
        raise UnreadableDocument(f"{name} is larger than {limits.bytes} bytes", service="reading")
    return data


def _one(data: bytes, kind: str, name: str, limits: Limits) -> Document:
    if kind in ("application/pdf", _DOCX):
        paged = kind == "application/pdf"
        found = parse(data, "pdf" if paged else "docx", limits)
        parts = [unwrapped(normalised(part), always=True) for part in found.parts] if paged else found.parts
        return compose(
            parts,
            source=name,
            media_type=kind,
            title=found.title,
            id=name,
            paged=paged,
            metadata=found.metadata,
            problems=found.problems,
        )
    text, problems = decoded(data, declared=declared_encoding(data) if kind == "text/html" else "")
    title, metadata = "", dict[str, JSON]()
    if kind == "text/html":
        title, text = from_html(text)
    elif kind == "text/markdown":
        title, text, metadata = from_markdown(text)
    else:
        text = unwrapped(normalised(text))
    if len(text) > limits.characters:
        raise UnreadableDocument(f"{name} holds more than {limits.characters} characters", service="reading")
    return compose([text], source=name, media_type=kind, title=title, id=name, metadata=metadata, problems=problems)
