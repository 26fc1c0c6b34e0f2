"""What a search costs at scale: ``python bench/retrieval_scale.py --data DIR --passages 100000``.

Passages are made by recombining sentences of SciFact's abstracts (most of one abstract, some of another), so that
words and meanings are spread as in real text. A passage's vector is the unit mean of its sentences' vectors, which
saves embedding each passage; the indexes do not see the difference. Sentences' vectors are kept and read as in a
deployment (``--no-sentences``: neither). All goes through the real ingest into a real
database: a tenant with 80 % of the passages in four domains, one with 19.5 %, one with 0.5 %. Queries are claims
of SciFact and questions of PubMedQA, embedded by the real model.

Cold: a new process's first queries, database files in the operating system's cache. Warm: the same library later,
with *other* queries, so that common terms are in memory and rare ones are not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpora import arguments, questions, rows, spread, timed
from vital_engine.nouns import Scope
from vital_engine.services.retrieval.chunking import Chunk
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.ingest import IngestReport, ingest
from vital_engine.services.retrieval.library import Library, Ranking
from vital_engine.services.retrieval.reading import Document
from vital_engine.services.retrieval.sentence_vectors import SentenceVectors
from vital_engine.store import Knowledge, Store, open_store

SHARES = {"big": 0.8, "middle": 0.195, "small": 0.005}
DOMAINS = ("cardiology", "oncology", "neurology", "pharmacy")
TABLES = ("documents", "passages", "vectors", "sentence_vectors", "lexical_segments", "lexical_postings")


class Sentences:
    """Abstracts as sentences with vectors, and passages made of them. Fulfils the port Embedder for these."""

    def __init__(self, abstracts: list[list[str]], model: MiniLM) -> None:
        self.abstracts = abstracts
        self.model, self.dimensions = model.model, model.dimensions
        began = time.perf_counter()
        flat = model.embed([sentence for abstract in abstracts for sentence in abstract])
        print(f"# {len(flat)} sentences embedded in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        ends = np.cumsum([len(abstract) for abstract in abstracts])
        self.vectors = np.split(flat, ends[:-1])
        self._made: dict[str, NDArray[np.float32]] = {}
        self._known = dict(zip((sentence for abstract in abstracts for sentence in abstract), flat, strict=True))
        self._embed = model.embed

    def passages(self, count: int, seed: int) -> Iterator[Document]:
        chance = random.Random(seed)
        for number in range(count):
            mine, other = chance.randrange(len(self.abstracts)), chance.randrange(len(self.abstracts))
            picked = []
            for which, most in ((mine, 6), (other, 2)):
                there = len(self.abstracts[which])
                picked += [(which, n) for n in chance.sample(range(there), k=min(most, there))]
            text = " ".join(self.abstracts[a][n] for a, n in picked)
            mean = np.mean([self.vectors[a][n] for a, n in picked], axis=0)
            self._made[text] = mean / np.linalg.norm(mean)
            key = f"{seed}-{number:07d}"
            yield Document(key, "", text, "bench", "text/plain", key)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # The engine cuts a few of the sentences at other places than the corpus does.
        others = [text for text in texts if text not in self._made and text not in self._known]
        self._known.update(zip(others, self._embed(others), strict=True))
        return np.array([self._made.pop(text) if text in self._made else self._known[text] for text in texts])


def whole(document: Document) -> list[Chunk]:
    """Each document as one passage."""
    return [Chunk(document.id, 0, "", document.text, 0, len(document.text), None, ())]


async def fill(shelves: Knowledge, sentences: Sentences, count: int, *, vectors: bool) -> float:
    began = time.perf_counter()
    seed = 0

    def shown(report: IngestReport) -> None:
        if sys.stderr.isatty():
            print(f"\r{seed}: {report.passages} passages, {report.seconds:.0f} s  ", end="", file=sys.stderr)

    for tenant, share in SHARES.items():
        parts = DOMAINS if tenant == "big" else ("",)
        for domain in parts:
            seed += 1
            documents = sentences.passages(round(count * share / len(parts)), seed)
            await ingest(
                documents,
                shelves=shelves,
                tenant=tenant,
                domain=domain,
                embedder=sentences if vectors else None,
                cut=whole,
                progress=shown,
            )
    return time.perf_counter() - began


async def sizes(store: Store) -> dict[str, float]:
    """Megabytes of each table with its indexes, and of the vector index alone."""
    async with store.owner() as connection:
        found = {}
        for name in (*TABLES, "vectors_of_model_1"):
            cursor = await connection.execute(
                "select coalesce(case when relkind = 'i' then pg_relation_size(oid) else pg_total_relation_size(oid) end, 0)"
                " from pg_class where relname = %s",
                (name,),
            )
            row = await cursor.fetchone()
            found[name] = round(row[0] / 2**20, 1) if row else 0.0
        return found


async def measure(shelves: Knowledge, model: MiniLM, queries: list[str], *, vectors: bool) -> None:
    half = len(queries) // 2
    first, second = queries[:half], queries[half:]
    scopes = {
        "big": Scope("big", "u"),
        "big, one domain": Scope("big", "u", DOMAINS[:1]),
        "middle": Scope("middle", "u"),
        "small": Scope("small", "u"),
    }
    for name, scope in scopes.items():
        kept = SentenceVectors(model) if vectors and shelves.sentence_vectors else None
        library = Library(shelves, model if vectors else None, sentences=kept)

        async def ask(query: str, library: Library = library, scope: Scope = scope) -> object:
            return await library.search(query, k=10, scope=scope)

        for state, some in (("cold", first), ("warm", second)):
            found = spread(await timed(some, ask))
            print(json.dumps({"scope": name, "state": state, "part": "search", **found}))
        print(f"# {library.cached_bytes / 2**20:.1f} MB of index in memory", file=sys.stderr)
    if vectors:
        await recall(shelves, model, second[:100], scopes)


async def recall(shelves: Knowledge, model: MiniLM, queries: list[str], scopes: dict[str, Scope]) -> None:
    """What share of the truly nearest the default way finds, and that it is never short."""
    exactly = Ranking(exact_below=10**9, lexical=0.0, compared=0)
    for name, scope in scopes.items():
        for depth in (10, 100):
            hits = wanted = short = 0
            for query in queries:
                true, ours = [
                    (await Library(shelves, model, ranking=ranking).search(query, k=depth, scope=scope)).passages
                    for ranking in (exactly, Ranking(lexical=0.0, compared=0))
                ]
                hits += len({p.id for p in true} & {p.id for p in ours})
                wanted += len(true)
                short += len(ours) < len(true)
            figures = {"share": round(hits / wanted, 4), "short": short}
            print(json.dumps({"scope": name, "part": f"recall@{depth} of dense", **figures}))


async def run(options: argparse.Namespace, folder: Path) -> None:
    model = MiniLM()
    chance = random.Random(7)
    queries = [row["text"] for row in rows(options.data / "scifact/queries.jsonl")]
    queries += [row["question"] for row in questions(options.data)]
    queries = chance.sample(queries, options.queries)
    async with open_store(data_dir=folder, statement_seconds=120.0) as store:
        shelves = Knowledge(store, sentence_vectors=not options.no_sentences)
        async with shelves.reading("big") as reader:
            filled = (await reader.counts(model=None))["passages"]
        if not filled:
            abstracts = [row["sentences"] for row in rows(options.data / "scifact/corpus.jsonl")]
            abstracts = [a for a in chance.sample(abstracts, options.abstracts) if len(a) > 2]
            sentences = Sentences(abstracts, model)
            seconds = await fill(shelves, sentences, options.passages, vectors=not options.words_only)
            print(json.dumps({"part": "build", "passages": options.passages, "seconds": round(seconds, 1)}))
        print(json.dumps({"part": "megabytes", **await sizes(store)}))
        await measure(shelves, model, queries, vectors=not options.words_only)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--abstracts", type=int, default=3_000, help="how many the sentences come from")
    parser.add_argument("--queries", type=int, default=600, help="half of them cold, half warm")
    parser.add_argument("--words-only", action="store_true", help="no vectors: the lexical part at a larger scale")
    parser.add_argument("--no-sentences", action="store_true", help="no vectors of sentences are kept or read")
    parser.add_argument("--keep", type=Path, help="a folder for the database (a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vital-bench-") as folder:
        asyncio.run(run(options, options.keep or Path(folder)))


if __name__ == "__main__":
    main()
