"""Reading: each kind of file, what is left out of it, and what is said when it cannot be read."""

from __future__ import annotations

import importlib.util
import json
import unicodedata
import zipfile
from io import BytesIO
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.errors import ConfigError, UnreadableDocument
from vital_engine.services.retrieval.reading import Document, Limits, Page, Problem, normalised, read


def one(given: Path | bytes, name: str = "", **settings: object) -> Document:
    [document] = read(given, name=name, **settings)  # type: ignore[arg-type]
    return document


@pytest.fixture(scope="session")
def samples() -> ModuleType:
    path = Path(__file__).parents[2] / "data" / "documents" / "make_samples.py"
    spec = importlib.util.spec_from_file_location("make_samples", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pdf_keeps_its_pages_and_mends_its_lines(documents: Path) -> None:
    document = one(documents / "leaflet.pdf")
    assert document.title == "Examplomycin: information for the user"
    first, third = document.pages
    assert (first.number, third.number) == (1, 3)
    assert "The recommended dose for adults is one tablet every 12 hours" in document.text[first.start : first.end]
    assert document.text[third.start : third.end].startswith("Warnings\nDo not take")
    assert "placebostatin 3.2-fold in a study of 24 healthy volunteers (p < .001)." in document.text
    assert document.problems == (Problem("page 2", "holds no text; it may be a picture"),)


def test_docx_is_read_as_it_would_be_printed(documents: Path) -> None:
    document = one(documents / "protocol.docx")
    assert document.title == "Protocol of an invented trial"
    assert "viral load above 10⁵ copies/mL. This was inserted." in document.text
    assert "deleted" not in document.text and "Nobody" not in document.text
    assert document.text.endswith("Results\n\nGroup | Cured\nVerum | n = 60 | 48 (80%)")


def test_html_is_read_as_it_would_be_seen(documents: Path) -> None:
    document = one(documents / "page.html")
    assert document.title == "Invented fever — overview"
    assert document.text.split("\n") == [
        *["Invented fever", "", "A viral load above 10⁵ copies/mL of H2O was common.", "It fell later.", ""],
        *["- Rest.", "- Drink water.", "", "Drug | Dose", "Examplomycin | 250 mg", "", "a = 1", "b = 2"],
    ]


def test_html_may_nest_deeply_but_not_without_end() -> None:
    assert one(b"<html><body>" + b"<div>" * 2500 + b"deep" + b"<p>x" * 4000, "deep.html").text.startswith("deep\n\nx")
    for tag in (b"<div>", b"<SUP >", b"<b>"):
        with pytest.raises(UnreadableDocument, match="nests deeper"):
            one(tag * 1_000_000, "deep.html")


def test_markdown_gives_its_title_front_matter_and_text(documents: Path) -> None:
    document = one(documents / "guideline.md")
    assert (document.title, dict(document.metadata)) == (
        "Managing invented fever",
        {"version": "012", "reviewed": "2024-05-01"},
    )
    assert "adults. It is not about children.\n\nTreatment\n\nGive examplomycin 250 mg" in document.text
    assert "- Check renal function first.\n- Stop if a rash occurs." in document.text
    assert "Step | Drug\n1 | examplomycin" in document.text
    assert "Ignore" not in document.text
    plain = one(b"# A *title*\nText.\n\n1. one\n2. two <br>`three`", "a.md")
    assert (plain.title, plain.text) == ("A title", "Text.\n\n1. one\n2. two\nthree")


def test_front_matter_that_could_grow_without_end_is_text() -> None:
    document = one(b"---\na: &a [x, x]\nb: [*a, *a]\n---\nText.", "a.md")
    assert document.metadata == {} and "Text." in document.text


def test_a_corpus_keeps_its_good_lines_and_names_the_bad(documents: Path) -> None:
    reading = read(documents / "corpus.jsonl")
    found = list(reading)
    assert [d.id for d in found] == ["a1", "77", "a4"]
    assert found[0].text == "We treated 120 adults. Examplomycin cured 80% of them."
    assert found[0].metadata == {"year": 2020} and found[0].source == "corpus.jsonl"
    assert found[1].text == "It was compared with placebo.\n\nIt worked." and found[1].title == ""
    assert found[1].metadata["question"] == "Does examplomycin work?"
    assert (found[2].title, found[2].text) == ("What is invented fever?", "A fever that nobody has.")
    assert [p.where for p in reading.problems] == ["line 2", "line 3", "line 7"]


def test_a_corpus_with_a_mapping_of_ones_own() -> None:
    line = json.dumps({"key": 5, "head": "T", "a": "One.", "b": {"title": "S", "text": ["Two.", None, "Three."]}})
    fields = {"id": "key", "title": "head", "text": ["a", "b"]}
    document = one(line.encode(), "x.jsonl", fields=fields)
    assert (document.id, document.title, document.text) == ("5", "T", "One.\n\nS\n\nTwo.\n\nThree.")
    assert one(line.encode(), "x.jsonl", fields=fields | {"title": None}).title == ""
    with pytest.raises(ConfigError, match="body"):
        read(b"{}", name="x.jsonl", fields={"body": "a"})


def test_a_line_that_is_too_long_does_not_shift_the_numbers() -> None:
    lines = b'{"text": "%s"}\n{"text": "short"}\n{"text": 1' % (b"x" * 500)
    reading = read(lines, name="x.jsonl", limits=Limits(bytes=64))
    assert [d.text for d in reading] == ["short"]
    assert [p.where for p in reading.problems] == ["line 1", "line 3"]


def test_json_arrays_and_objects_of_records_are_corpora() -> None:
    assert [d.id for d in read(b'[{"id": 1, "text": "a"}, 3, {"id": 2, "text": "b"}]', name="x.json")] == ["1", "2"]
    assert [d.id for d in read(b'{"p": {"CONTEXTS": ["a"]}, "q": {"CONTEXTS": ["b"]}}', name="x.json")] == ["p", "q"]
    for broken in (b"{", b"[" * 100_000, b"[3]"):
        with pytest.raises(UnreadableDocument):
            list(read(broken, name="x.json"))


@pytest.mark.parametrize(
    ("data", "expected", "noted"),
    [
        ("Größe µg".encode(), "Größe µg", False),
        ("\ufeffGröße".encode(), "Größe", False),
        ("Größe".encode("utf-16"), "Größe", False),
        ("Größe “5”".encode("cp1252"), "Größe “5”", True),
        (b"a\x81b\xe9", "abé", True),
    ],
)
def test_encodings(data: bytes, expected: str, noted: bool) -> None:
    document = one(data, "a.txt")
    assert document.text == expected and bool(document.problems) is noted
    declared = b'<html><head><meta charset="iso-8859-1"></head><body>Gr\xf6\xdfe</body></html>'
    assert one(declared, "a.html").text == "Größe" and not one(declared, "a.html").problems


def test_text_of_fixed_width_is_unwrapped_and_a_list_is_not() -> None:
    wrapped = (
        "The first paragraph of this text was wrapped at a width of about sev-\n"
        "enty characters, as old mail programs and text editors do it. It has\n"
        "three lines.\n"
        "- item one of a list is not joined with the line that stands before it\n"
        "- item two of this list neither\n"
    )
    first = (
        "The first paragraph of this text was wrapped at a width of about seventy characters, as old mail programs "
        "and text editors do it. It has three lines."
    )
    assert one(wrapped.encode(), "a.txt").text.split("\n") == [
        first,
        "- item one of a list is not joined with the line that stands before it",
        "- item two of this list neither",
    ]
    poem = "Roses are red\nViolets are blue\nSugar is sweet"
    assert one(poem.encode(), "a.txt").text == poem


@pytest.mark.parametrize(
    ("data", "name", "why"),
    [
        (b"", "empty.txt", "no text"),
        (b"  \n\t", "blank.md", "no text"),
        (b"a\x00b", "a.txt", "binary"),
        (b"%PDF-1.7 broken", "a.pdf", "broken|page"),
        (b"PK\x03\x04broken", "a.docx", "broken"),
        (b"PK\x03\x04broken", "a.xlsx", "cannot read"),
        (b"\n\n", "a.jsonl", "no document"),
        (b"nothing\n", "a.jsonl", "line 1"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, name: str, why: str) -> None:
    with pytest.raises(UnreadableDocument, match=why):
        list(read(data, name=name))


def test_an_encrypted_an_empty_and_a_long_pdf(samples: ModuleType) -> None:
    with pytest.raises(UnreadableDocument, match="password"):
        one(samples.pdf(samples.LEAFLET, password="secret"), "a.pdf")
    with pytest.raises(UnreadableDocument, match="scanned"):
        one(samples.pdf([[], []]), "a.pdf")
    document = one(samples.pdf([["one"], ["two"], ["three"]]), "a.pdf", limits=Limits(pages=2))
    assert document.text == "one\n\ntwo" and document.problems[0].where == "page 3"
    assert document.pages == (Page(1, 0, 3), Page(2, 5, 8))


def test_limits_of_size_time_and_memory_hold(samples: ModuleType) -> None:
    leaflet = samples.pdf(samples.LEAFLET)
    with pytest.raises(UnreadableDocument, match="larger than 100 bytes"):
        one(leaflet, "a.pdf", limits=Limits(bytes=100))
    with pytest.raises(UnreadableDocument, match=r"more than 0\.01 s"):
        one(leaflet, "a.pdf", limits=Limits(seconds=0.01))
    bomb = samples.pdf([["x"] * 400_000], packed=True)
    assert len(bomb) < 100_000
    with pytest.raises(UnreadableDocument, match="memory"):
        one(bomb, "a.pdf", limits=Limits(memory=96 * 2**20))
    assert "left out" in one(leaflet, "a.pdf", limits=Limits(characters=400)).problems[-1].what


def test_a_zip_bomb_is_refused_unopened() -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"\0" * 20_000_000)
    assert len(packed.getvalue()) < 100_000
    with pytest.raises(UnreadableDocument, match="unpack to 20000000 bytes"):
        one(packed.getvalue(), "a.docx", limits=Limits(unpacked=10_000_000))


def test_the_content_decides_before_the_name_and_the_label(samples: ModuleType) -> None:
    assert one(samples.pdf([["text"]]), "a.txt", media_type="text/plain").media_type == "application/pdf"
    assert one(b"<!DOCTYPE html><p>x", "noending").media_type == "text/html"
    assert one(b"x", "a.bin", media_type="text/markdown; charset=utf-8").media_type == "text/markdown"
    with pytest.raises(UnreadableDocument, match="image/png"):
        read(b"x", name="a", media_type="image/png")
    with pytest.raises(UnreadableDocument, match="no such file"):
        read(Path("nowhere.txt"))
    with pytest.raises(ValueError, match="name"):
        read(b"x")


def test_identity_is_stable_and_the_hash_is_of_the_content() -> None:
    first, again, other = (one(t, n) for t, n in ((b"a b", "x.txt"), (b"a  b\r\n", "y.txt"), (b"a c", "x.txt")))
    assert first.id == other.id == "x.txt" != again.id
    assert first.content_hash == again.content_hash != other.content_hash
    assert one(b'{"text": "a"}', "c.jsonl").id == one(b'\n{"text": "a"}', "c.jsonl").id


@given(st.text(max_size=80))
def test_normalised_text_is_clean_and_stays_as_it_is(text: str) -> None:
    clean = normalised(text)
    assert normalised(clean) == clean == unicodedata.normalize("NFC", clean).strip()
    assert all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cs") for c in clean)
    assert "\n\n\n" not in clean and "  " not in clean
    clean.encode("utf-8")


def test_invisible_and_direction_changing_characters_are_taken_out() -> None:
    assert normalised("in\u00advis\u200bible \u202egnp\u202c \ud800 5\u00a0mg m²\x07") == "invisible gnp \ufffd 5 mg m²"
