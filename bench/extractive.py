"""How well the extractive answerer cites, on questions whose right passage is known.

``python bench/extractive.py --data DIR`` reads ``DIR/pubmedqa/questions.jsonl`` (PubMedQA, Jin et al. 2019), retrieves
the top 8 of all abstracts by BM25 and MiniLM, fused by reciprocal rank, and lets the answerer answer. Weights were
chosen on the questions with an even number (``--fit`` prints the part of them that is fitted); the figures to quote
are those of the odd ones.

Printed for each half: how often the question's own abstract was retrieved, cited, and cited first; which share of
the sentences stems from it; the words of the expert's answer that were said; how often the answer was "not found",
with the own abstract there and with it taken away; and milliseconds per answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray

from corpora import arguments, questions
from vital_engine.nouns import Brief, Evidence, Expert, Passage, Prompt, Question, Segment
from vital_engine.services.llm.extractive import FEATURES, NOT_FOUND, Extractive, candidates_of, features
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.sentence_vectors import SentenceVectors
from vital_engine.text.words import stems

EXPERT = Expert("general", "General", "", "")
MARKER = re.compile(r" \[(\d+)\](?= |$)")


@dataclass(frozen=True, slots=True)
class Case:
    """A question, what was retrieved for it (one passage more than k), its own abstract and the expert's answer."""

    number: int
    question: str
    own: str
    long_answer: str
    passages: tuple[Passage, ...]


def load(folder: Path, embedder: MiniLM, depth: int) -> list[Case]:
    rows = questions(folder)
    texts = ["\n".join(row["contexts"]) for row in rows]
    texts_asked = [row["question"] for row in rows]
    vectors = embedder.embed(texts)
    dense = np.argsort(-(embedder.embed(texts_asked) @ vectors.T), axis=1)[:, :50]
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    asked = bm25s.tokenize(texts_asked, stopwords="en", stemmer=stemmer, show_progress=False)
    lexical, _ = index.retrieve(asked, k=50, show_progress=False)
    cases = []
    for number, row in enumerate(rows):
        scores: dict[int, float] = {}
        for ranking in (dense[number], lexical[number]):
            for place, found in enumerate(ranking):
                scores[int(found)] = scores.get(int(found), 0.0) + 1 / (60 + place + 1)
        best = sorted(scores, key=lambda d: -scores[d])[:depth]
        passages = tuple(Passage(rows[d]["pmid"], texts[d], document=rows[d]["pmid"], score=scores[d]) for d in best)
        cases.append(Case(number, row["question"], row["pmid"], row["long_answer"], passages))
    return cases


def prompt_of(case: Case, passages: tuple[Passage, ...]) -> Prompt:
    question = Question(case.question, "bench", "bench")
    return Prompt((Segment("question", case.question),), question, Brief(EXPERT), Evidence(passages))


async def said(answerer: Extractive, prompt: Prompt) -> str:
    return "".join([piece.text async for piece in answerer.stream(prompt)])


async def measure(answerer: Extractive, cases: list[Case], k: int) -> dict[str, float]:
    counts: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        counts.setdefault(name, []).append(float(value))

    for case in cases:
        top = case.passages[:k]
        retrieved = any(p.id == case.own for p in top)
        note("retrieved", retrieved)
        started = time.perf_counter()
        text = await said(answerer, prompt_of(case, top))
        note("ms", 1000 * (time.perf_counter() - started))
        cited = [top[int(n) - 1].id for n in MARKER.findall(text)]
        if retrieved:
            note("cited", case.own in cited)
            note("first", bool(cited) and cited[0] == case.own)
            note("not found, own abstract there", text == NOT_FOUND)
            if cited:
                note("share of sentences", cited.count(case.own) / len(cited))
                note("sentences", len(cited))
                wanted = set(stems(case.long_answer))
                note("words of the expert's answer", len(wanted & set(stems(text))) / max(1, len(wanted)))
        others = tuple(p for p in case.passages if p.id != case.own)[:k]
        note("not found, own abstract away", await said(answerer, prompt_of(case, others)) == NOT_FOUND)
    return {name: statistics.median(v) if name == "ms" else statistics.mean(v) for name, v in counts.items()}


def fit(cases: list[Case], vectors: SentenceVectors, embedder: MiniLM | None, k: int) -> NDArray[np.float64]:
    """Least squares (ridge) of the share of the expert's words that a sentence says, among the sentences of the own
    abstract: what makes one sentence of it better than another. Features of whole passages come out as 0."""
    rows, targets = [], []
    for case in cases:
        top = case.passages[:k]
        candidates, cosines = scored(case, top, vectors, embedder)
        mine = [i for i, c in enumerate(candidates) if top[c.passage].id == case.own]
        if not mine:
            continue
        wanted = set(stems(case.long_answer))
        table = features(case.question, candidates, cosines)[mine].astype(float)
        said = [len(wanted & set(stems(candidates[i].sentence.text))) / max(1, len(wanted)) for i in mine]
        rows.append(table - table.mean(axis=0))
        targets.append(np.array(said) - np.mean(said))
    x, y = np.concatenate(rows), np.concatenate(targets)
    weights: NDArray[np.float64] = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y)
    return weights


def scored(case: Case, top: tuple[Passage, ...], vectors: SentenceVectors, embedder: MiniLM | None) -> Any:
    entries = vectors.of_all(top)
    candidates, kept = candidates_of([sentences for sentences, _ in entries])
    if embedder is None:
        return candidates, None
    matrix = np.concatenate([matrix for _, matrix in entries])[kept]
    return candidates, matrix @ embedder.embed([case.question])[0]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("-k", type=int, default=8)
    parser.add_argument("--fit", action="store_true", help="print weights fitted on the even half, and stop")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    embedder = MiniLM()
    cases = load(options.data, embedder, options.k + 1)
    vectors = SentenceVectors(embedder, capacity=4096)
    if options.fit:
        for name, one in (("with vectors", embedder), ("lexical", None)):
            weights = fit(cases[::2], vectors, one, options.k)
            print(name, {n: round(float(w), 3) for n, w in zip(FEATURES, weights, strict=True)})
        return
    vectors.of_all([p for case in cases for p in case.passages])
    results = {}
    for name, answerer in (("vectors", Extractive(embedder, vectors=vectors)), ("lexical", Extractive())):
        for half, some in (("even (chosen on)", cases[::2]), ("odd", cases[1::2])):
            results[f"{name}, {half}"] = asyncio.run(measure(answerer, some, options.k))
    if options.json:
        print(json.dumps(results, indent=1))
        return
    for name, figures in results.items():
        print(name)
        for what, value in figures.items():
            print(f"  {what:32} {value:8.3f}")


if __name__ == "__main__":
    main()
