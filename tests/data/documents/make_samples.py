"""Makes the samples of this folder anew: ``python tests/data/documents/make_samples.py``. All texts are invented."""

from __future__ import annotations

import io
from pathlib import Path

import docx
from docx.oxml import OxmlElement
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject

HERE = Path(__file__).parent

LEAFLET = [
    [
        "Examplomycin 250 mg tablets",
        "Each film-coated tablet contains 250 mg of examplomycin. The recom-",
        "mended dose for adults is one tablet every 12 hours for five days. The dose",
        "must not be more than 1.5 g in 24 hours. Patients with renal impairment and",
        "an eGFR below 30 mL/min need half of the dose.",
    ],
    [],
    [
        "Warnings",
        "Do not take examplomycin together with placebostatin. The combination rai-",
        "sed the serum concentration of placebostatin 3.2-fold in a study of 24 healthy",
        "volunteers (p < .001). Stop the treatment and ask a physician if a rash occurs.",
    ],
]


def pdf(pages: list[list[str]], *, title: str = "", password: str = "", packed: bool = False) -> bytes:
    """A PDF with one line of Helvetica for each string, and an empty page for an empty list.
    *packed*: deflated, so that many equal lines make a small file that grows when it is opened."""
    writer = PdfWriter()
    font = DictionaryObject()
    font.update(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for lines in pages:
        page = writer.add_blank_page(595, 842)
        if not lines:
            continue
        drawn = ["BT /F1 11 Tf 14 TL 60 780 Td"]
        for line in lines:
            escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
            drawn.append(f"({escaped}) Tj T*")
        stream = StreamObject()
        stream.set_data("\n".join([*drawn, "ET"]).encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(stream.flate_encode() if packed else stream)
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    if title:
        writer.add_metadata({"/Title": title})
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def word() -> bytes:
    """A DOCX with a title, headings, a table with a merged cell, a raised exponent, and tracked and hidden text."""
    document = docx.Document()
    document.add_heading("Protocol of an invented trial", 0)
    document.add_heading("Methods", 1)
    paragraph = document.add_paragraph("We enrolled 120 adults with a viral load above 10")
    paragraph.add_run("5").font.superscript = True
    paragraph.add_run(" copies/mL.")
    hidden = paragraph.add_run(" Nobody may read this.")
    hidden.font.hidden = True
    deleted = OxmlElement("w:del")
    gone = OxmlElement("w:r")
    text = OxmlElement("w:delText")
    text.text = "This was deleted."
    gone.append(text)
    deleted.append(gone)
    paragraph._p.append(deleted)
    inserted = OxmlElement("w:ins")
    run = paragraph.add_run(" This was inserted.")._r
    inserted.append(run)
    paragraph._p.append(inserted)
    document.add_heading("Results", 1)
    table = document.add_table(rows=2, cols=3)
    table.cell(0, 0).merge(table.cell(0, 1)).text = "Group"
    table.cell(0, 2).text = "Cured"
    for at, cell in enumerate(("Verum", "n = 60", "48 (80%)")):
        table.cell(1, at).text = cell
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


if __name__ == "__main__":
    (HERE / "leaflet.pdf").write_bytes(pdf(LEAFLET, title="Examplomycin: information for the user"))
    (HERE / "protocol.docx").write_bytes(word())
