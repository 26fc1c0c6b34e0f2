"""What the scripts beside it read and count alike: corpora with known answers, times, and the arguments of a script."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vital_engine.services.retrieval.reading import Document
from vital_engine.services.retrieval.reading.document import compose


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents, and queries with the ids of the documents that answer them."""

    name: str
    documents: list[Document]
    queries: list[tuple[str, frozenset[str]]]


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser that shows *doc*, and asks for ``--data``: the folder with scifact/, pubmedqa/, medquad/ and metatool/."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = os.environ.get("VITAL_DATA")
    parser.add_argument(
        "--data", type=Path, default=known, required=known is None, help="the data folder (or VITAL_DATA)"
    )
    return parser


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """JSON Lines."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def questions(data: Path) -> list[dict[str, Any]]:
    """PubMedQA (Jin et al. 2019): ``pmid``, ``question``, ``contexts``, ``long_answer``."""
    return list(rows(data / "pubmedqa/questions.jsonl"))


def document(key: object, *parts: str, title: str = "") -> Document:
    return compose(list(parts), id=str(key), title=title, source="bench", media_type="text/plain")


def scifact(data: Path, part: str = "test") -> Corpus:
    """Claims to the abstracts that bear on them (Wadden et al. 2020, as in BEIR)."""
    found = [
        document(row["_id"], " ".join(row["sentences"]), title=row["title"])
        for row in rows(data / "scifact/corpus.jsonl")
    ]
    relevant: dict[str, set[str]] = {}
    for line in (data / f"scifact/qrels/{part}.tsv").read_text().splitlines()[1:]:
        query, key, grade = line.split("\t")
        if int(grade) > 0:
            relevant.setdefault(query, set()).add(key)
    texts = {str(row["_id"]): str(row["text"]) for row in rows(data / "scifact/queries.jsonl")}
    return Corpus("SciFact", found, [(texts[query], frozenset(keys)) for query, keys in relevant.items()])


def pubmedqa(data: Path) -> Corpus:
    """Questions to the abstract that each was made from."""
    found = questions(data)
    queries = [(str(row["question"]), frozenset([str(row["pmid"])])) for row in found]
    return Corpus("PubMedQA", [document(row["pmid"], *row["contexts"]) for row in found], queries)


def medquad(data: Path) -> Corpus:
    """Consumer questions to their answers (Ben Abacha and Demner-Fushman 2019)."""
    found = list(rows(data / "medquad/qa.jsonl"))
    queries = [(str(row["question"]), frozenset([str(row["_id"])])) for row in found]
    return Corpus("MedQuAD", [document(row["_id"], row["answer"]) for row in found], queries)


CORPORA: dict[str, Callable[[Path], Corpus]] = {"scifact": scifact, "pubmedqa": pubmedqa, "medquad": medquad}


def write_pubmedqa(found: Sequence[dict[str, Any]], folder: Path) -> Path:
    """The abstracts alone, as a file that can be taken in: what is asked must not be found by its own question."""
    path = folder / "pubmedqa.jsonl"
    lines = (json.dumps({"id": row["pmid"], "text": "\n".join(row["contexts"])}) for row in found)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


async def timed(inputs: Iterable[Any], work: Callable[[Any], Awaitable[object]]) -> list[float]:
    """Milliseconds of *work* on each of *inputs*, one after another."""
    spent = []
    for each in inputs:
        began = time.perf_counter()
        await work(each)
        spent.append((time.perf_counter() - began) * 1000)
    return spent


def spread(milliseconds: Sequence[float]) -> dict[str, float]:
    """The median and the 95th percentile, rounded for reading."""
    ordered = sorted(milliseconds)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    return {"median_ms": round(statistics.median(ordered), 2), "p95_ms": round(p95, 2)}
