"""How well the library finds, on corpora with known answers: ``python bench/retrieval.py --data DIR``.

Documents go through the whole ingest into a database of their own, queries through ``Library.search``. A document
ranks where its best passage does. Figures: nDCG@10, recall@10 and recall@30 (all relevant documents of a query
count alike), and the median time of a search. --keep DIR keeps the database, so that a second run need not ingest.
Rankings: words (BM25), meaning (vectors), fused (by reciprocal rank), both (fused, then the linear model; the default
of the library). The model was trained on SciFact's training claims: the other corpora show whether it carries over.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vital_engine.nouns import Scope
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.ingest import IngestReport, ingest
from vital_engine.services.retrieval.library import Library, Ranking
from vital_engine.services.retrieval.reading import Document
from vital_engine.services.retrieval.reading.document import compose
from vital_engine.store import Knowledge, open_store


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents, and queries with the ids of the documents that answer them."""

    name: str
    documents: list[Document]
    queries: list[tuple[str, frozenset[str]]]


def rows(path: Path) -> Iterator[dict[str, object]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def document(key: object, *parts: object, title: object = "") -> Document:
    return compose([str(p) for p in parts], id=str(key), title=str(title), source="bench", media_type="text/plain")


def scifact(data: Path, part: str = "test") -> Corpus:
    """Claims to the abstracts that bear on them (Wadden et al. 2020, as in BEIR)."""
    found = [
        document(row["_id"], " ".join(row["sentences"]), title=row["title"])  # type: ignore[arg-type]
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
    """Questions to the abstract that each was made from (Jin et al. 2019)."""
    found = list(rows(data / "pubmedqa/questions.jsonl"))
    return Corpus(
        "PubMedQA",
        [document(row["pmid"], *row["contexts"]) for row in found],  # type: ignore[misc]
        [(str(row["question"]), frozenset([str(row["pmid"])])) for row in found],
    )


def medquad(data: Path) -> Corpus:
    """Consumer questions to their answers (Ben Abacha and Demner-Fushman 2019)."""
    found = list(rows(data / "medquad/qa.jsonl"))
    return Corpus(
        "MedQuAD",
        [document(row["_id"], row["answer"]) for row in found],
        [(str(row["question"]), frozenset([str(row["_id"])])) for row in found],
    )


CORPORA = {"scifact": scifact, "pubmedqa": pubmedqa, "medquad": medquad}
RANKINGS = {
    "words": Ranking(dense=0.0, compared=0),
    "meaning": Ranking(lexical=0.0, compared=0),
    "fused": Ranking(compared=0),
    "both": Ranking(),
}


async def measure(library: Library, corpus: Corpus, limit: int | None) -> dict[str, float]:
    scope = Scope(tenant=corpus.name, user="bench")
    gains, at10, at30, seconds = [], [], [], []
    for text, relevant in corpus.queries[:limit]:
        began = time.perf_counter()
        evidence = await library.search(text, k=30, scope=scope)
        seconds.append(time.perf_counter() - began)
        ranked = list(dict.fromkeys(passage.document for passage in evidence.passages))
        gain = sum(1 / math.log2(rank + 2) for rank, key in enumerate(ranked[:10]) if key in relevant)
        gains.append(gain / sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant)))))
        at10.append(len(relevant & set(ranked[:10])) / len(relevant))
        at30.append(len(relevant & set(ranked)) / len(relevant))
    return {
        "queries": len(gains),
        "ndcg10": statistics.fmean(gains),
        "recall10": statistics.fmean(at10),
        "recall30": statistics.fmean(at30),
        "median_ms": statistics.median(seconds) * 1000,
    }


def shown(report: IngestReport) -> None:
    if sys.stderr.isatty():
        print(f"\r{report.documents} documents, {report.seconds:.0f} s", end="", file=sys.stderr)


async def run(options: argparse.Namespace, folder: Path) -> None:
    async with open_store(data_dir=folder) as store:
        shelves, embedder = Knowledge(store, sentence_vectors=False), MiniLM()
        for name in options.corpora:
            corpus = CORPORA[name](options.data)
            report = await ingest(
                corpus.documents, shelves=shelves, tenant=corpus.name, embedder=embedder, progress=shown
            )
            for way in options.rankings:
                library = Library(shelves, embedder, ranking=RANKINGS[way])
                figures = await measure(library, corpus, options.limit)
                print(
                    json.dumps({"corpus": corpus.name, "ranking": way, **{k: round(v, 4) for k, v in figures.items()}})
                )
            kept = f"{report.added} added, {report.unchanged} unchanged, {len(report.failed)} failed"
            print(f"# {corpus.name}: {kept}, {report.passages} passages in {report.seconds:.1f} s", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with scifact/, pubmedqa/ and medquad/")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--rankings", nargs="+", choices=RANKINGS, default=list(RANKINGS))
    parser.add_argument("--limit", type=int, help="queries of each corpus (all)")
    parser.add_argument("--keep", type=Path, help="a folder for the database (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vital-bench-") as folder:
        asyncio.run(run(options, options.keep or Path(folder)))


if __name__ == "__main__":
    main()
