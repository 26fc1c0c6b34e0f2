"""Trains the linear re-ranker: ``python bench/train_reranker.py --data DIR --keep DIR``.

Candidates are what ``Library.search`` finds for the *training* claims of SciFact among all of its abstracts; a
passage is relevant if its document is. Logistic regression with an L2 penalty of 1, by Newton's method, so that
there is nothing to tune and the same data give the same coefficients. --keep is the database that bench/retrieval.py
made (it holds the corpus already, or is filled now). The figures on corpora that were not trained on come from
bench/retrieval.py, with --rankings both fused.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from corpora import arguments, scifact
from vital_engine.nouns import Scope
from vital_engine.services.retrieval import rerank
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.ingest import ingest
from vital_engine.services.retrieval.library import Library
from vital_engine.store import Knowledge, open_store

KEPT = Path(rerank.__file__).with_name("rerank.json")
CANDIDATES = 30


def fit(rows: NDArray[np.float64], relevant: NDArray[np.float64], penalty: float = 1.0) -> NDArray[np.float64]:
    """Weights, and behind them the intercept (not penalised)."""
    rows = np.hstack([rows, np.ones((len(rows), 1))])
    shrink = np.diag([penalty] * (rows.shape[1] - 1) + [0.0])
    weights = np.zeros(rows.shape[1])
    for _ in range(30):
        chance = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (chance - relevant) + shrink @ weights
        weights -= np.linalg.solve((rows.T * (chance * (1 - chance))) @ rows + shrink, slope)
    return weights


async def candidates(data: Path, folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    corpus = scifact(data, "train")
    rows, relevant, queries = [], [], 0
    async with open_store(data_dir=folder) as store:
        shelves, embedder = Knowledge(store, sentence_vectors=False), MiniLM()
        await ingest(corpus.documents, shelves=shelves, tenant=corpus.name, embedder=embedder)
        library = Library(shelves, embedder)
        for text, answers in corpus.queries:
            found = (await library.search(text, k=CANDIDATES, scope=Scope(corpus.name, "bench"))).passages
            good = [float(passage.document in answers) for passage in found]
            if any(good):  # a query without a right candidate teaches only how candidates look
                rows.append(rerank.standardised([[p.scores[name] for name in rerank.FEATURES] for p in found]))
                relevant += good
                queries += 1
    return np.vstack(rows), np.array(relevant), queries


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--keep", type=Path, required=True, help="a folder for the database")
    options = parser.parse_args()
    rows, relevant, queries = asyncio.run(candidates(options.data, options.keep))
    *weights, intercept = (round(float(value), 4) for value in fit(rows, relevant))
    kept = {
        "model": "logistic regression on per-query z-scores of the 30 best fused passages",
        "trained_on": f"SciFact, {queries} training claims, {len(relevant)} passages, {int(relevant.sum())} relevant",
        "weights": dict(zip(rerank.FEATURES, weights, strict=True)),
        "intercept": intercept,
    }
    KEPT.write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
    print(json.dumps(kept))


if __name__ == "__main__":
    main()
