"""Measures what ships: the matcher, its hard checks and verdicts, on real claims; prints one JSON.

    python bench/support.py --data DIR [--questions 150] [--lexical]

SciFact, split "validation" (not trained on): which sentence (hit@1), AUC and calibration of the score, and how often
each hard check objects and a quote "carries" a claim, by what the experts said of the pair.
PubMedQA (Jin et al. 2019; nothing was trained on it): the experts' own answers against the right and a wrong
abstract, and copied sentences as they are, with a figure changed, and with a negation put in.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np

from corpora import arguments, questions, timed
from train_support import Pair, auc, calibration_error, mixture, scifact
from vital_engine.nouns import Evidence, Passage, Sentence
from vital_engine.services.checks import Check
from vital_engine.services.citations import QuoteChecker
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.sentence_vectors import SentenceVectors
from vital_engine.services.support import LogisticJudge, Matcher
from vital_engine.text.sentences import split

CHECKS = ("figures", "negation", "direction", "names", "wording")


def on_scifact(matcher: Matcher, pairs: Sequence[Pair]) -> dict[str, object]:
    held = [p for p in pairs if p.split == "validation"]
    found = []
    hits = []
    for pair in held:
        passage, spans = _abstract(pair)
        match = matcher.matches(pair.claim, [passage])[0]
        found.append(match)
        if pair.gold:
            hits.append(any(s < match.end and match.start < e for i, (s, e) in enumerate(spans) if i in pair.gold))
    scores = np.array([m.score for m in found])
    labels = np.array([float(p.label == "SUPPORT") for p in held])
    kinds = np.array([p.label for p in held])
    report: dict[str, object] = {
        "pairs": len(held),
        "which_sentence_hit_at_1": _round(np.mean(hits)),
        "support_auc": _round(auc(scores, labels)),
        "calibration_error": _round(calibration_error(scores, labels, mixture(held))),
    }
    for kind in ("SUPPORT", "CONTRADICT", "NEAR"):
        of = [m for m, k in zip(found, kinds, strict=True) if k == kind]
        objecting = {name: _round(np.mean([_objects(m.checks, name) for m in of])) for name in CHECKS}
        other = (kinds == "SUPPORT") | (kinds == kind)
        report[kind] = {
            "mean_score": _round(np.mean([m.score for m in of])),
            "carries": _round(np.mean([m.carries for m in of])),
            "check_objects": objecting,
            "auc_against": None if kind == "SUPPORT" else _round(auc(scores[other], labels[other])),
        }
    return report


def _abstract(pair: Pair) -> tuple[Passage, list[tuple[int, int]]]:
    """The abstract as one passage, and where each of SciFact's own sentences stands in it."""
    spans, at = [], 0
    for sentence in pair.sentences:
        spans.append((at, at + len(sentence)))
        at += len(sentence) + 1
    text = " ".join(pair.sentences)
    return Passage(pair.document, text, pair.document, pair.title, 0, len(text)), spans


def _objects(checks: Sequence[Check], name: str) -> bool:
    return any(c.name == name and not c.agrees for c in checks)


def on_pubmedqa(matcher: Matcher, data: Path, count: int) -> dict[str, object]:
    rows = questions(data)[:count]
    texts = [" ".join(r["contexts"]) for r in rows]
    passages = [Passage(r["pmid"], t, r["pmid"], "", 0, len(t)) for r, t in zip(rows, texts, strict=True)]
    right, wrong = [], []
    for i, row in enumerate(rows):
        for sentence in split(row["long_answer"]):
            right.append(matcher.matches(sentence.text, [passages[i]])[0])
            wrong.append(matcher.matches(sentence.text, [passages[(i + 1) % len(passages)]])[0])
    scores = np.array([m.score for m in right + wrong])
    report: dict[str, object] = {
        "expert_sentences": len(right),
        "right_abstract": {
            "mean_score": _round(np.mean([m.score for m in right])),
            "carries": _round(np.mean([m.carries for m in right])),
        },
        "wrong_abstract": {
            "mean_score": _round(np.mean([m.score for m in wrong])),
            "carries": _round(np.mean([m.carries for m in wrong])),
        },
        "auc_right_or_wrong": _round(auc(scores, np.array([1.0] * len(right) + [0.0] * len(wrong)))),
    }
    copies = [(p, s.text) for p in passages for s in split(p.text) if len(s.text.split()) >= 6]
    for name, change in {"as_it_is": lambda s: s, "figure_changed": _figure, "negation_put_in": _negated}.items():
        changed = [(p, change(s)) for p, s in copies]
        altered = [matcher.matches(s, [p])[0] for p, s in changed if s is not None]
        report[f"copies_{name}"] = {"sentences": len(altered), "carries": _round(np.mean([m.carries for m in altered]))}
    return report


def _figure(sentence: str) -> str | None:
    found = re.search(r"(?<![\w.,-])\d+(?![\w.,])", sentence)
    return f"{sentence[: found.start()]}{int(found[0]) + 1}{sentence[found.end() :]}" if found else None


def _negated(sentence: str) -> str | None:
    found = re.search(r"\b(?:was|were|is|are|had|did|has|have|can|may)\b(?! not\b)", sentence)
    return f"{sentence[: found.end()]} not{sentence[found.end() :]}" if found else None


async def timing(matcher: Matcher, pairs: Sequence[Pair]) -> dict[str, object]:
    """Milliseconds per sentence against eight passages whose sentence vectors are known, as after an answer."""
    passages = tuple(_abstract(p)[0] for p in list({p.document: p for p in pairs}.values())[:8])
    evidence = Evidence(passages)
    claims = list(dict.fromkeys(p.claim for p in pairs))
    judge, checker = LogisticJudge(matcher), QuoteChecker(matcher)
    matcher.matches("This claim warms the vectors of the passages.", passages)

    async def each(work: Callable[[Sentence, Evidence], Awaitable[object]], texts: Sequence[str]) -> dict[str, float]:
        spent = await timed(texts, lambda text: work(Sentence(text, 0, len(text), 0), evidence))
        return {"p50": _round(np.percentile(spent, 50), 2), "p95": _round(np.percentile(spent, 95), 2)}

    return {
        "support_of_a_sentence_without_citation": await each(judge.support, claims[:60]),
        "support_of_a_sentence_with_one_citation": await each(judge.support, [f"{c} [3]" for c in claims[60:120]]),
        "citations_of_a_sentence_with_one": await each(checker.check, [f"{c} [3]" for c in claims[120:180]]),
    }


def _round(value: object, digits: int = 3) -> float:
    return round(float(value), digits)  # type: ignore[arg-type]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--questions", type=int, default=150)
    parser.add_argument("--lexical", action="store_true", help="without an embedder")
    options = parser.parse_args()
    if options.lexical:
        matcher = Matcher()
    else:
        embedder = MiniLM()
        matcher = Matcher(embedder, SentenceVectors(embedder))
    pairs = scifact(options.data)
    report = {
        "model": matcher.model,
        "scifact": on_scifact(matcher, pairs),
        "pubmedqa": on_pubmedqa(matcher, options.data, options.questions),
        "milliseconds": asyncio.run(timing(matcher, pairs)),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
