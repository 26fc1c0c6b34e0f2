"""How well tools are ranked, calls suggested and experts chosen. Prints JSON.

    python bench/tools.py --data DIR          DIR holds metatool/ and pubmedqa/ (see docs); seconds to a minute

- ``metatool``: recall@1, recall@5 and nDCG@10 of the pure ranking over MetaTool's tools (Huang et al., ICLR 2024), by
  words, by meaning and fused. The weight of the fusion was chosen on the even questions; the odd ones are held out.
- ``suggested``: calls suggested where none is wanted (PubMedQA's questions), and on the written questions in
  tests/unit/tools: right means that tool, those arguments and nothing else.
- ``experts``: the right expert on tests/unit/experts/questions.yaml, even and odd (held out); and how many of PubMedQA's
  questions, which are the generalist's, go to a specialist.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from corpora import arguments, questions, rows
from vital_engine.nouns import Brief, Expert, Question, Scope
from vital_engine.ports import Embedder
from vital_engine.services.experts import ExpertRouter
from vital_engine.services.ranking import words
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.tools import OpenFDA, Profile, PubMed, Shortlist, Toolbox, standard_tools

TESTS = Path(__file__).parents[1] / "tests" / "unit"
ANYBODY = Brief(Expert(id="any", name="any", description="", instructions=""))


class NoDocuments:
    async def search(self, query: str, *, k: int, scope: Scope) -> tuple[()]:
        return ()


def scored(ranks: Sequence[int]) -> dict[str, float]:
    """Of the ranks (from 0) of the one right answer."""
    gains = [1 / math.log2(rank + 2) if rank < 10 else 0.0 for rank in ranks]
    found = np.asarray(ranks)
    figures = {"recall@1": (found < 1).mean(), "recall@5": (found < 5).mean(), "ndcg@10": np.mean(gains)}
    return {name: round(float(value), 3) for name, value in figures.items()}


def metatool(data: Path, embedder: Embedder) -> dict[str, Any]:
    tools = [Profile(t["name"], f"{words(t['name'])}: {t['description']}") for t in rows(data / "metatool/tools.jsonl")]
    asked = list(rows(data / "metatool/queries.jsonl"))
    results: dict[str, Any] = {"tools": len(tools), "questions": len(asked)}
    ways = {
        "words": Shortlist(tools),
        "meaning": Shortlist(tools, embedder, dense_weight=1.0),
        "fused": Shortlist(tools, embedder),
    }
    for name, shortlist in ways.items():
        ranks = []
        began = time.perf_counter()
        for question in asked:
            order = [match.id for match in shortlist.rank_now(question["query"])]
            ranks.append(order.index(question["tool"]))
        each = (time.perf_counter() - began) / len(asked)
        halves = {"all": scored(ranks), "even": scored(ranks[::2]), "held out": scored(ranks[1::2])}
        results[name] = halves | {"ms per question": round(1000 * each, 2)}
    return results


async def suggested(data: Path, embedder: Embedder) -> dict[str, Any]:
    box = Toolbox(standard_tools(retriever=NoDocuments(), pubmed=PubMed(), openfda=OpenFDA()), embedder=embedder)

    async def calls(text: str) -> list[tuple[str, dict[str, Any]]]:
        suggestions = await box.suggest(Question(text, "bench", "bench"), ANYBODY)
        return [(p.tool, dict(p.arguments)) for p in suggestions.tool_calls]

    pubmedqa = [row["question"] for row in questions(data)]
    results: dict[str, Any] = {
        "pubmedqa": {"questions": len(pubmedqa), "with a call": sum([bool(await calls(text)) for text in pubmedqa])}
    }
    for name in ("questions", "questions_heldout"):
        written = yaml.safe_load((TESTS / "tools" / f"{name}.yaml").read_text("utf-8"))
        wanted = written["calls"] + written.get("missed", [])
        unwanted = written["nothing"] + written.get("nearby", [])
        right = [_same(await calls(each["ask"]), each) for each in wanted]
        results[name] = {
            "calls wanted": len(wanted),
            "right": sum(right),
            "none wanted": len(unwanted),
            "with a call": sum([bool(await calls(text)) for text in unwanted]),
        }
    return results


def _same(calls: list[tuple[str, dict[str, Any]]], wanted: dict[str, Any]) -> bool:
    if len(calls) != 1 or calls[0][0] != wanted["tool"] or calls[0][1].keys() != wanted["with"].keys():
        return False
    pairs = [(calls[0][1][name], value) for name, value in wanted["with"].items()]
    return all(math.isclose(a, b, rel_tol=1e-5) if isinstance(b, float) else a == b for a, b in pairs)


async def experts(data: Path, embedder: Embedder) -> dict[str, Any]:
    pubmedqa = [row["question"] for row in questions(data)]
    topics = yaml.safe_load((TESTS / "experts" / "questions.yaml").read_text("utf-8"))
    results: dict[str, Any] = {}
    for name, router in {"words": ExpertRouter(), "words and meaning": ExpertRouter(embedder=embedder)}.items():

        async def chosen(text: str, router: ExpertRouter = router) -> str:
            return (await router.route(Question(text, "bench", "bench"), mode=2)).expert.id

        halves: tuple[list[bool], list[bool]] = ([], [])
        for expert, texts in topics.items():
            for number, text in enumerate(texts):
                halves[number % 2].append(await chosen(text) == expert)
        away = [await chosen(text) != "research" for text in pubmedqa]
        results[name] = {
            "even": f"{sum(halves[0])}/{len(halves[0])}",
            "held out": f"{sum(halves[1])}/{len(halves[1])}",
            "pubmedqa to a specialist": f"{sum(away)}/{len(away)}",
        }
    return results


async def main() -> None:
    data = arguments(__doc__).parse_args().data
    embedder = MiniLM()
    results = {
        "embedder": embedder.model,
        "metatool": metatool(data, embedder),
        "suggested": await suggested(data, embedder),
        "experts": await experts(data, embedder),
    }
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
