"""Trains the support model on SciFact and writes ``services/models/support.json``, with its errors in it.

    python bench/train_support.py --data DIR          DIR holds scifact/corpus.jsonl and scifact/evidence.jsonl

Two logistic regressions (ridge, iteratively reweighted least squares), each with and without cosines:

* choice: which sentence of an abstract is evidence for a claim, whether it supports or contradicts;
* support: whether an abstract supports a claim, by its chosen sentence. Classes are weighted to a mixture of one
  half SUPPORT, one quarter CONTRADICT, one quarter abstracts that are near the claim (1st and 3rd by BM25) but were
  not judged evidence. The score is a chance under that mixture.

Trained on the claims of the split "train"; the errors are those on the split "validation".
SciFact: Wadden et al. 2020, arXiv:2004.14974; claims CC BY 4.0, abstracts ODC-By 1.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray

from corpora import arguments, rows
from vital_engine.services.checks import hard_checks
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.support.model import (
    DENSE_CHOICE,
    DENSE_SUPPORT,
    LEXICAL_CHOICE,
    LEXICAL_SUPPORT,
    Logistic,
    choice_features,
    support_features,
)

Array = NDArray[np.float64]

OUT = Path(__file__).parents[1] / "src/vital_engine/services/models/support.json"
MIXTURE = {"SUPPORT": 0.5, "CONTRADICT": 0.25, "NEAR": 0.25}
RIDGE = 10.0


@dataclass(frozen=True)
class Pair:
    """A claim and an abstract. ``gold``: numbers of the evidence sentences; ``label``: a key of MIXTURE."""

    claim: str
    document: str
    title: str
    sentences: tuple[str, ...]
    label: str
    gold: frozenset[int]
    split: str


def scifact(data: Path) -> list[Pair]:
    """All judged pairs of claim and abstract, and two near ones per claim."""
    corpus = {d["_id"]: d for d in rows(data / "scifact/corpus.jsonl")}
    judged: dict[tuple[str, str], dict[str, Any]] = {}
    claims: dict[str, tuple[str, str, set[str]]] = {}
    for row in rows(data / "scifact/evidence.jsonl"):
        entry = judged.setdefault((row["claim_id"], row["doc_id"]), {**row, "gold": set()})
        entry["gold"] |= set(row["sentences"])
        claims.setdefault(row["claim_id"], (row["claim"], row["split"], set()))[2].add(row["doc_id"])

    def pair(document: str, claim: str, label: str, gold: Sequence[int], split: str) -> Pair:
        entry = corpus[document]
        return Pair(claim, document, entry["title"], tuple(entry["sentences"]), label, frozenset(gold), split)

    pairs = [pair(d, e["claim"], e["label"], e["gold"], e["split"]) for (_, d), e in judged.items()]
    for claim, split, documents, near in _near(corpus, claims):
        unjudged = [d for d in near if d not in documents]
        pairs += [pair(unjudged[rank], claim, "NEAR", (), split) for rank in (0, 2)]
    return pairs


def _near(
    corpus: Mapping[str, Any], claims: Mapping[str, tuple[str, str, set[str]]]
) -> Iterator[tuple[str, str, set[str], list[str]]]:
    ids, stemmer = list(corpus), Stemmer.Stemmer("english")
    texts = [f"{corpus[i]['title']} {' '.join(corpus[i]['sentences'])}" for i in ids]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stemmer=stemmer, show_progress=False), show_progress=False)
    queries = bm25s.tokenize([c[0] for c in claims.values()], stemmer=stemmer, show_progress=False)
    found, _ = index.retrieve(queries, k=12, show_progress=False)
    for (claim, split, documents), row in zip(claims.values(), found, strict=True):
        yield claim, split, documents, [ids[i] for i in row]


def cosines(pairs: Sequence[Pair], embedder: MiniLM) -> list[Array]:
    """The cosine of claim and sentence, for each sentence of each pair."""
    documents = {p.document: p.sentences for p in pairs}
    texts = [s for sentences in documents.values() for s in sentences]
    rows, at, vectors = embedder.embed(texts), 0, {}
    for document, sentences in documents.items():
        vectors[document] = rows[at : at + len(sentences)].astype(np.float64)
        at += len(sentences)
    claims = list({p.claim for p in pairs})
    of_claim = dict(zip(claims, embedder.embed(claims).astype(np.float64), strict=True))
    return [vectors[p.document] @ of_claim[p.claim] for p in pairs]


def fit(rows: Array, labels: Array, weights: Array, names: tuple[str, ...]) -> Logistic:
    """Ridge logistic regression by Newton's method on standardised *rows* ``[n, f]``."""
    mean, scale = np.average(rows, axis=0, weights=weights), rows.std(axis=0)
    scale[scale < 1e-6] = 1.0
    design = np.column_stack([(rows - mean) / scale, np.ones(len(rows))])
    ridge = np.diag([RIDGE] * rows.shape[1] + [0.0])
    beta = np.zeros(design.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-design @ beta))
        slope = design.T @ (weights * (labels - chance)) - ridge @ beta
        curve = (design * (weights * chance * (1 - chance))[:, None]).T @ design + ridge
        step = np.linalg.solve(curve, slope)
        beta += step
        if np.abs(step).max() < 1e-9:
            break
    return Logistic(names, beta[:-1], float(beta[-1]), mean, scale)


def auc(scores: Array, labels: Array) -> float:
    """Area under the ROC curve, ties counted half."""
    positive, negative = scores[labels == 1], np.sort(scores[labels == 0])
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.mean() / 2 / len(negative))


def calibration_error(chances: Array, labels: Array, weights: Array, bins: int = 10) -> float:
    """Expected calibration error (Naeini et al. 2015) over equal-width bins."""
    place = np.minimum((chances * bins).astype(int), bins - 1)
    gaps = [abs((weights * (chances - labels))[place == b].sum()) for b in range(bins)]
    return float(sum(gaps) / weights.sum())


def mixture(pairs: Sequence[Pair]) -> Array:
    """Weights under which the classes of *pairs* have the shares of MIXTURE, summing to their number."""
    labels = [p.label for p in pairs]
    return np.array([MIXTURE[label] * len(labels) / labels.count(label) for label in labels])


def train(pairs: Sequence[Pair], cosine: Sequence[Array] | None) -> tuple[dict[str, object], dict[str, object]]:
    """The coefficients trained on the split "train", and their errors on "validation"."""
    dense = cosine is not None
    cos: Sequence[Array | None] = cosine if cosine is not None else [None] * len(pairs)
    choices = [choice_features(p.claim, p.sentences, c) for p, c in zip(pairs, cos, strict=True)]
    golds = [np.array([float(i in p.gold) for i in range(len(p.sentences))]) for p in pairs]
    judged = [i for i, p in enumerate(pairs) if p.gold]
    seen = [i for i in judged if pairs[i].split == "train"]
    rows, labels = np.vstack([choices[i] for i in seen]), np.concatenate([golds[i] for i in seen])
    choice = fit(rows, labels, np.ones(len(rows)), DENSE_CHOICE if dense else LEXICAL_CHOICE)

    def row(i: int) -> Array:
        pair, logits = pairs[i], choice.logits(choices[i])
        at, context = int(logits.argmax()), f"{pair.title} {' '.join(pair.sentences)}"
        checks = hard_checks(pair.claim, pair.sentences[at], context)
        return support_features(pair.claim, context, float(logits[at]), checks, cos[i], at)

    rows, labels = np.array([row(i) for i in range(len(pairs))]), np.array([float(p.label == "SUPPORT") for p in pairs])
    splits = {s: np.array([p.split == s for p in pairs]) for s in ("train", "validation")}
    weights = np.zeros(len(pairs))
    for mask in splits.values():
        weights[mask] = mixture([p for p, inside in zip(pairs, mask, strict=True) if inside])
    names = DENSE_SUPPORT if dense else LEXICAL_SUPPORT
    mask = splits["train"]
    support = fit(rows[mask], labels[mask], weights[mask], names)
    held = splits["validation"]
    chances = 1 / (1 + np.exp(-support.logits(rows)))
    of = {k: held & np.array([p.label == k for p in pairs]) for k in MIXTURE}
    hits = [golds[i][choice.logits(choices[i]).argmax()] for i in judged if pairs[i].split == "validation"]
    errors = {
        "choice_hit_at_1": round(float(np.mean(hits)), 3),
        "support_auc": round(auc(chances[held], labels[held]), 3),
        "support_auc_against": {
            k: round(auc(chances[of["SUPPORT"] | of[k]], labels[of["SUPPORT"] | of[k]]), 3)
            for k in ("CONTRADICT", "NEAR")
        },
        "calibration_error": round(calibration_error(chances[held], labels[held], weights[held]), 3),
        "mean_score": {k: round(float(chances[m].mean()), 3) for k, m in of.items()},
        "pairs": {k: int(m.sum()) for k, m in of.items()},
    }
    return {"choice": choice.stored(), "support": support.stored()}, errors


def strength(data: Path, embedder: MiniLM) -> dict[str, object]:
    """How the best cosine of a search tells whether anything relevant was there to be found.

    Each claim is searched twice among all abstracts: as they are (relevant if an evidence abstract is among the first
    eight) and without its evidence. Embeds the whole corpus: minutes.
    """
    corpus = {d["_id"]: f"{d['title']}\n{' '.join(d['sentences'])}" for d in rows(data / "scifact/corpus.jsonl")}
    place = {document: i for i, document in enumerate(corpus)}
    vectors = embedder.embed(list(corpus.values())).astype(np.float64)
    claims: dict[tuple[str, str], set[int]] = {}
    for row in rows(data / "scifact/evidence.jsonl"):
        claims.setdefault((row["claim"], row["split"]), set()).add(place[row["doc_id"]])
    found: dict[str, list[tuple[float, float]]] = {"train": [], "validation": []}
    for ((_, split), gold), vector in zip(claims.items(), embedder.embed([c for c, _ in claims]), strict=True):
        cosine = vectors @ vector.astype(np.float64)
        found[split].append((cosine.max(), float(not gold.isdisjoint(np.argsort(-cosine)[:8].tolist()))))
        cosine[list(gold)] = -1.0
        found[split].append((cosine.max(), 0.0))
    seen, held = np.array(found["train"]), np.array(found["validation"])
    model = fit(seen[:, :1], seen[:, 1], np.ones(len(seen)), ("best_cosine",))
    chances = 1 / (1 + np.exp(-model.logits(held[:, :1])))
    errors = {
        "auc": round(auc(chances, held[:, 1]), 3),
        "calibration_error": round(calibration_error(chances, held[:, 1], np.ones(len(held))), 3),
        "searches": len(held),
    }
    print("retrieval", json.dumps(errors, indent=2))
    return {**model.stored(), "errors_on_validation": errors}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--strength", action="store_true", help="train the strength of retrieval anew, too (minutes)")
    options = parser.parse_args()
    pairs = scifact(options.data)
    found: dict[str, object] = {
        "name": "scifact-1",
        "embedder": "all-MiniLM-L6-v2",
        "trained_on": "SciFact train (Wadden et al. 2020); claims CC BY 4.0, abstracts ODC-By 1.0",
        "trained_by": "bench/train_support.py",
        "mixture": MIXTURE,
    }
    embedder = MiniLM()
    if options.strength:
        found["retrieval"] = strength(options.data, embedder)
    elif options.out.exists():
        found["retrieval"] = json.loads(options.out.read_text("utf-8")).get("retrieval")
    for kind, cosine in (("dense", cosines(pairs, embedder)), ("lexical", None)):
        coefficients, errors = train(pairs, cosine)
        found[kind] = {**coefficients, "errors_on_validation": errors}
        print(kind, json.dumps(errors, indent=2))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
