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
from pathlib import Path

from corpora import CORPORA, Corpus, arguments
from vital_engine.nouns import Scope
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.ingest import IngestReport, ingest
from vital_engine.services.retrieval.library import Library, Ranking
from vital_engine.store import Knowledge, open_store

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
    means = {"ndcg10": gains, "recall10": at10, "recall30": at30}
    figures = {"queries": len(gains), **{name: statistics.fmean(values) for name, values in means.items()}}
    return {**figures, "median_ms": statistics.median(seconds) * 1000}


def shown(report: IngestReport) -> None:
    if sys.stderr.isatty():
        print(f"\r{report.documents} documents, {report.seconds:.0f} s", end="", file=sys.stderr)


async def run(options: argparse.Namespace, folder: Path) -> None:
    async with open_store(data_dir=folder) as store:
        shelves, embedder = Knowledge(store, sentence_vectors=False), MiniLM(precision=options.precision)
        for name in options.corpora:
            corpus = CORPORA[name](options.data)
            report = await ingest(
                corpus.documents, shelves=shelves, tenant=corpus.name, embedder=embedder, progress=shown
            )
            for way in options.rankings:
                library = Library(shelves, embedder, ranking=RANKINGS[way])
                figures = {k: round(v, 4) for k, v in (await measure(library, corpus, options.limit)).items()}
                print(json.dumps({"corpus": corpus.name, "ranking": way, **figures}))
            kept = f"{report.added} added, {report.unchanged} unchanged, {len(report.failed)} failed"
            print(f"# {corpus.name}: {kept}, {report.passages} passages in {report.seconds:.1f} s", file=sys.stderr)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--rankings", nargs="+", choices=RANKINGS, default=list(RANKINGS))
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8", help="of the embedding model")
    parser.add_argument("--limit", type=int, help="queries of each corpus (all)")
    parser.add_argument("--keep", type=Path, help="a folder for the database (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vital-bench-") as folder:
        asyncio.run(run(options, options.keep or Path(folder)))


if __name__ == "__main__":
    main()
