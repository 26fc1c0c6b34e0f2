"""How fast and how good the bundled embedder is: ``python bench/retrieval_embedder.py --data DIR [--precision fp32]``.

DIR holds ``scifact/`` as JSON Lines: corpus (``_id``, ``title``, ``sentences``), queries (``_id``, ``text``) and evidence
(``claim``, ``doc_id``, ``sentences``: the indexes of those that bear on the claim). Prints one JSON object: milliseconds a
query, texts a second, and how often the best ranked sentence of an abstract is one that bears on the claim: with sentences
embedded by themselves, the same as they are kept (int8), and with late chunking. How well it ranks documents, bench/retrieval.py
prints (``--rankings meaning --precision fp32``).
"""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from corpora import arguments, rows
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.minilm import converted, find_weights
from vital_engine.services.retrieval.sentence_vectors import pack, unpack

Rows = list[dict[str, Any]]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--precision", choices=("int8", "fp32"), default="int8")
    parser.add_argument("--threads", type=int, default=None)
    given = parser.parse_args()
    corpus, queries, evidence = (
        list(rows(given.data / f"scifact/{name}.jsonl")) for name in ("corpus", "queries", "evidence")
    )
    started = time.perf_counter()
    embedder = MiniLM(precision=given.precision, threads=given.threads)
    found: dict[str, Any] = {"model": embedder.model, "load_s": round(time.perf_counter() - started, 2)}
    found |= _speed(embedder, corpus, queries)
    found |= _sentences(embedder, corpus, evidence, given.precision)
    print(json.dumps(found, indent=1))


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
    for judged in evidence:
        if judged["split"] == "validation" and judged["doc_id"] in documents:
            pairs[judged["claim"], judged["doc_id"]].update(judged["sentences"])
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
        spanned = [states[(starts >= a) & (starts < b)] for a, b in spans]
        means = np.array([row.mean(axis=0) if len(row) else np.zeros(states.shape[1]) for row in spanned], np.float32)
        unit: NDArray[np.float32] = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
        return unit

    return pooled


if __name__ == "__main__":
    main()
