"""Reads one PDF or DOCX from standard input and writes one JSON object to standard output; then it is gone.

Run as a script in a process of its own (see :mod:`.sandbox`), as such files come from strangers and their parsers
can be made to use time and memory without end. It imports nothing of the package, so that it starts fast.

Output: ``{"title", "parts", "metadata", "problems": [[where, what], ...]}`` or ``{"error": why}``.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from typing import Any, TypedDict

_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_RAISED = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
# what a broken page was seen to raise inside the parser, beside its own errors
_BROKEN = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    RecursionError,
    ZeroDivisionError,
    OSError,
    AssertionError,
)


class _Unreadable(Exception):
    pass


class _Read(TypedDict):
    title: str
    parts: list[str]
    metadata: dict[str, int]
    problems: list[list[str]]


def main() -> None:
    """Read the file from standard input and write the JSON object to standard output."""
    kind, limits = sys.argv[1], json.loads(sys.argv[2])
    _confine(limits)
    data = sys.stdin.buffer.read()
    try:
        found: _Read | dict[str, str] = _pdf(data, limits) if kind == "pdf" else _docx(data, limits)
    except _Unreadable as error:
        found = {"error": str(error)}
    except MemoryError:
        found = {"error": f"it needs more than {limits['memory']} bytes of memory"}
    sys.stdout.buffer.write(json.dumps(found).encode("ascii"))


def _confine(limits: dict[str, int]) -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system: the parent's limit of time is what remains
        return
    for name, limit in (
        (resource.RLIMIT_AS, limits["memory"]),
        (resource.RLIMIT_CPU, limits["seconds"]),
        (resource.RLIMIT_FSIZE, limits["output"]),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(name, (limit, limit))
        except (ValueError, OSError):  # a kind of limit that this system does not enforce
            continue


def _pdf(data: bytes, limits: dict[str, int]) -> _Read:
    import logging

    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    logging.disable(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(data), strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise _Unreadable("it is encrypted, and asks for a password")
        count = len(reader.pages)
        stated = reader.metadata
        title = str((stated.title if stated is not None else "") or "")
    except DependencyError as error:
        raise _Unreadable(f"it is encrypted in a way that is not supported: {error}") from error
    except (PyPdfError, *_BROKEN) as error:
        raise _Unreadable(f"its structure is broken: {error}") from error
    parts, problems, size = list[str](), list[list[str]](), 0
    for number in range(1, min(count, limits["pages"]) + 1):
        try:
            text = reader.pages[number - 1].extract_text().translate(_LIGATURES)
        except (PyPdfError, *_BROKEN) as error:
            text = ""
            problems.append([f"page {number}", f"could not be read: {error}"])
        else:
            if not text.strip():
                problems.append([f"page {number}", "holds no text; it may be a picture"])
        size += len(text)
        if size > limits["characters"]:
            problems.append(
                [f"page {number}", f"left out with all that follow: more than {limits['characters']} characters"]
            )
            break
        parts.append(text)
    if count > limits["pages"]:
        problems.append(
            [f"page {limits['pages'] + 1}", f"left out with all that follow, up to {count}: too many pages"]
        )
    if not any(part.strip() for part in parts):
        raise _Unreadable(f"none of its {count} pages holds text; it may be scanned")
    return {"title": title, "parts": parts, "metadata": {"pages": count}, "problems": problems}


def _docx(data: bytes, limits: dict[str, int]) -> _Read:
    import docx
    from docx.opc.exceptions import OpcError
    from docx.table import Table
    from lxml.etree import LxmlError

    problems = list[list[str]]()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            names = set(archive.namelist())
        if unpacked > limits["unpacked"]:
            raise _Unreadable(f"it would unpack to {unpacked} bytes")
        document = docx.Document(io.BytesIO(data))
        title = document.core_properties.title or ""
        blocks, size = list[str](), 0
        for block in document.iter_inner_content():
            text = _table(block) if isinstance(block, Table) else _paragraph(block._p)
            if not title and not isinstance(block, Table) and block.style is not None and block.style.name == "Title":
                title = text
                continue
            size += len(text)
            if size > limits["characters"]:
                problems.append(["end", f"left out: more than {limits['characters']} characters"])
                break
            blocks.append(text)
    except (zipfile.BadZipFile, OpcError, LxmlError, NotImplementedError, *_BROKEN) as error:
        raise _Unreadable(f"its structure is broken: {error}") from error
    for part in ("footnotes", "endnotes"):
        if f"word/{part}.xml" in names:
            problems.append([part, "not read"])
    if not any(block.strip() for block in blocks):
        raise _Unreadable("it holds no text")
    return {"title": title, "parts": ["\n\n".join(blocks)], "metadata": {}, "problems": problems}


def _table(table: Any) -> str:
    rows = []
    for row in table.rows:
        cells, before = [], None
        for cell in row.cells:
            if cell._tc is not before:  # a merged cell is listed once for each column that it spans
                cells.append(" ".join(_paragraph(p._p) for p in cell.paragraphs))
            before = cell._tc
        rows.append(" | ".join(cells))
    return "\n".join(rows)


def _paragraph(paragraph: Any) -> str:
    """The text as printed with all changes accepted: with insertions, without what was deleted, moved away or hidden."""
    runs = paragraph.xpath(".//w:r[not(ancestor::w:moveFrom)][not(ancestor::*[local-name()='Fallback'])]")
    return "".join(_run(run) for run in runs if not run.xpath("./w:rPr/w:vanish"))


def _run(run: Any) -> str:
    text = ""
    for part in run:
        name = part.tag.rpartition("}")[2]
        text += (
            (part.text or "")
            if name == "t"
            else {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}.get(name, "")
        )
    digits = text.strip().lstrip("+-−").isdigit()
    if digits and run.xpath("./w:rPr/w:vertAlign[@w:val='superscript']"):
        return text.translate(_RAISED)  # ten to the fifth must not read as 105
    return text


if __name__ == "__main__":
    main()
