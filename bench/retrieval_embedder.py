"""How fast and how good the bundled embedder is: ``python bench/retrieval_embedder.py --data DIR [--precision fp32]``.

DIR holds ``scifact/`` as JSON Lines: corpus (``_id``, ``title``, ``sentences``), queries (``_id``, ``text``),
``qrels/test.tsv`` and evidence (``claim``, ``doc_id``, ``sentences``: the indexes of those that bear on the
claim). Prints one JSON object: milliseconds a query, texts a second, nDCG@10 of dense search alone, and how
often the best ranked sentence of an abstract is one that bears on the claim: with sentences embedded by
themselves, the same as they are kept (int8), and with late chunking.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vital_engine.services.retrieval.chunking import chunk
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.minilm import converted, find_weights
from vital_engine.services.retrieval.reading import read
from vital_engine.services.retrieval.sentence_vectors import pack, unpack

Rows = list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VITAL_DATA"), required="VITAL_DATA" not in os.environ
    )
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--chunk-tokens", type=int, default=None, help="search chunks of this size, not whole abstracts"
    )
    parser.add_argument("--limit", type=int, default=None, help="only so many abstracts: a quick look, no nDCG")
    given = parser.parse_args()
    folder = Path(given.data) / "scifact"
    corpus, queries, evidence = (_lines(folder / f"{name}.jsonl") for name in ("corpus", "queries", "evidence"))
    started = time.perf_counter()
    embedder = MiniLM(precision=given.precision, threads=given.threads)
    found: dict[str, Any] = {"model": embedder.model, "load_s": round(time.perf_counter() - started, 2)}
    found |= _speed(embedder, corpus[: given.limit], queries)
    found |= _sentences(embedder, corpus, evidence, given.precision)
    if given.limit is None:
        found |= _ndcg(embedder, folder, queries, given.chunk_tokens)
    print(json.dumps(found, indent=1))


def _lines(path: Path) -> Rows:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _speed(embedder: MiniLM, corpus: Rows, queries: Rows) -> dict[str, float]:
    texts = [q["text"] for q in queries[:220]]
    times = []
    for text in texts:
        started = time.perf_counter()
        embedder.embed([text])
        times.append((time.perf_counter() - started) * 1e3)
    times = times[20:]
    snippets = [d["sentences"][0] for d in corpus[:500]]
    started = time.perf_counter()
    embedder.embed(snippets)
    return {
        "query_ms_p50": round(statistics.median(times), 2),
        "query_ms_p95": round(statistics.quantiles(times, n=20)[-1], 2),
        "sentences_per_s": round(len(snippets) / (time.perf_counter() - started), 1),
    }


def _sentences(embedder: MiniLM, corpus: Rows, evidence: Rows, precision: str) -> dict[str, float]:
    documents = {d["_id"]: d for d in corpus}
    # the development half: a claim and an abstract, and every sentence of it that bears on the claim
    pairs: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in evidence:
        if row["split"] == "validation" and row["doc_id"] in documents:
            pairs[row["claim"], row["doc_id"]].update(row["sentences"])
    keys = list(pairs)
    claims = embedder.embed([claim for claim, _ in keys])
    texts = [documents[document] for _, document in keys]
    pooled = _late(precision)
    alone_hits = kept_hits = late_hits = 0
    alone_s = late_s = 0.0
    for row, (key, document) in enumerate(zip(keys, texts, strict=True)):
        started = time.perf_counter()
        alone = embedder.embed(document["sentences"])
        alone_s += time.perf_counter() - started
        at, spans = 0, []
        for sentence in document["sentences"]:
            spans.append((at, at + len(sentence)))
            at += len(sentence) + 1
        started = time.perf_counter()
        late = pooled(" ".join(document["sentences"]), spans)
        late_s += time.perf_counter() - started
        alone_hits += int(np.argmax(alone @ claims[row])) in pairs[key]
        kept = unpack(b"".join(pack(alone)), *alone.shape)
        kept_hits += kept is not None and int(np.argmax(kept @ claims[row])) in pairs[key]
        late_hits += int(np.argmax(late @ claims[row])) in pairs[key]
    return {
        "evidence_pairs": len(keys),
        "sentence_hit_at_1_alone": round(alone_hits / len(keys), 3),
        "sentence_hit_at_1_kept": round(kept_hits / len(keys), 3),
        "sentence_hit_at_1_late": round(late_hits / len(keys), 3),
        "ms_per_abstract_sentences_alone": round(alone_s / len(keys) * 1e3, 1),
        "ms_per_abstract_late": round(late_s / len(keys) * 1e3, 1),
    }


def _late(precision: str) -> Callable[[str, list[tuple[int, int]]], NDArray[np.float32]]:
    """Late chunking: the mean of each span's token states out of one pass over the text, for comparison only."""
    weights = find_weights()
    session = onnxruntime.InferenceSession(str(converted(weights, precision=precision)))
    tokenizer = Tokenizer.from_file(str(weights.tokenizer))
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def pooled(text: str, spans: list[tuple[int, int]]) -> NDArray[np.float32]:
        encoding = tokenizer.encode(text)
        states = session.run(None, {"ids": np.array([encoding.ids[:512]], np.int64)})[0]
        starts = np.array([a if b > a else -1 for a, b in encoding.offsets[:512]])
        rows = [states[(starts >= a) & (starts < b)] for a, b in spans]
        means = np.array([row.mean(axis=0) if len(row) else np.zeros(states.shape[1]) for row in rows], np.float32)
        return means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)

    return pooled


def _ndcg(embedder: MiniLM, folder: Path, queries: Rows, chunk_tokens: int | None) -> dict[str, float]:
    """Dense search alone; an abstract in chunks scores as the best of them."""
    relevant: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels" / "test.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            relevant[row["query-id"]][row["corpus-id"]] = int(row["score"])
    corpus = list(read(folder / "corpus.jsonl"))
    pieces = [
        [c.with_title for c in chunk(d, target_tokens=chunk_tokens)] if chunk_tokens else [f"{d.title}\n{d.text}"]
        for d in corpus
    ]
    started = time.perf_counter()
    vectors = embedder.embed([text for of in pieces for text in of])
    seconds = time.perf_counter() - started
    asked = [q for q in queries if q["_id"] in relevant]
    starts = np.cumsum([0, *(len(of) for of in pieces[:-1])])
    scores = np.maximum.reduceat(embedder.embed([q["text"] for q in asked]) @ vectors.T, starts, axis=1)
    gains = []
    for query, row in zip(asked, scores, strict=True):
        judged = relevant[query["_id"]]
        ranked = [judged.get(corpus[i].id, 0) for i in np.argsort(-row)[:10]]
        gains.append(_dcg(ranked) / _dcg(sorted(judged.values(), reverse=True)[:10]))
    return {
        "abstracts_per_s": round(len(corpus) / seconds, 1),
        "vectors_per_abstract": round(len(vectors) / len(corpus), 2),
        "ndcg_queries": len(gains),
        "ndcg_at_10": round(statistics.fmean(gains), 4),
    }


def _dcg(gains: list[int]) -> float:
    return float(sum(gain / np.log2(rank + 2) for rank, gain in enumerate(gains)))


if __name__ == "__main__":
    main()
