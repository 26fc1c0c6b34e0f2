"""What recalling older turns by their meaning finds, and what it costs: ``python bench/conversation_memory.py PART --data DIR``.

likeness The least cosine that is worth recalling, for the best five turns. Conversations of 150 turns are made of MedQuAD
         (DIR/medquad), a turn for each subject; asked are other questions on those subjects (found: the subject's own turn
         is recalled) and on 150 subjects that were not talked of (wrong: how many turns are recalled all the same). With
         --locomo DIR, also the ten conversations of LoCoMo (Maharana et al. 2024, arXiv:2402.17753), two utterances a
         turn: their questions with the turns that hold the answer, and the questions of the next conversation as wrong.
recall   Milliseconds of a recall from a conversation of 200 and of 2,000 turns, without and with vectors, the question's
         vector known or not; and of what follows a turn: its own vector, and the look for others that have none.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from corpora import arguments, rows, timed
from vital_engine import Question
from vital_engine.services.caching import CachedEmbedder
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.store import Conversations, Store, TurnVectors, open_store
from vital_engine.store.conversations import OLDER, TURNS
from vital_engine.store.turn_vectors import CHARACTERS

LEAST = (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
SUBJECTS = 150
ASKED = 200

FILL = """
with talk as (insert into conversations (tenant, user_id, id, title) values ('t', 'u', %(talk)s, ''))
insert into turns (tenant, run_id, user_id, conversation, mode, question, text, status, ended_at, fingerprint)
select 't', %(talk)s || '-' || n, 'u', %(talk)s, 4, question, answer, 'complete', now(), ''
from unnest(%(questions)s::text[], %(answers)s::text[]) with ordinality as said (question, answer, n) order by n
"""

Turns = Sequence[tuple[str, str]]


def cosines(embedder: MiniLM, turns: Turns, questions: Sequence[str]) -> np.ndarray[Any, Any]:
    """``[questions, turns]``."""
    kept = embedder.embed([f"{asked[:CHARACTERS]}\n{answer[:CHARACTERS]}" for asked, answer in turns])
    found: np.ndarray[Any, Any] = embedder.embed(questions) @ kept.T
    return found


def best(row: np.ndarray[Any, Any], least: float) -> list[int]:
    return [int(i) for i in np.argsort(-row)[:OLDER] if row[i] >= least]


def told(name: str, right: Sequence[tuple[Any, set[int]]], wrong: Sequence[Any]) -> None:
    """*right*: rows of cosines with the turns that are to be found; *wrong*: rows of which none is."""
    print(f"{name}: {len(right)} questions with an answer, {len(wrong)} without")
    for least in LEAST:
        found = [len(held & set(best(row, least))) / len(held) for row, held in right]
        turns = [len(best(row, least)) for row in wrong]
        some = np.mean([n > 0 for n in turns])
        print(
            f"  {least:.2f}  found {np.mean(found):.3f}  wrong: {np.mean(turns):.2f} turns, {some:.3f} of the questions"
        )


def likeness(data: Path, locomo: Path | None) -> None:
    embedder = MiniLM()
    subjects: dict[str, list[dict[str, Any]]] = {}
    for row in rows(data / "medquad/qa.jsonl"):
        subjects.setdefault(row["focus"], []).append(row)
    several = [of for of in subjects.values() if len(of) > 1][: 2 * SUBJECTS]
    talk, other = several[::2], several[1::2]
    turns = [(first["question"], first["answer"]) for first, *_ in talk]
    right = cosines(embedder, turns, [second["question"] for _, second, *_ in talk])
    wrong = cosines(embedder, turns, [second["question"] for _, second, *_ in other])
    told("MedQuAD", [(row, {i}) for i, row in enumerate(right)], list(wrong))
    if locomo is None:
        return
    talks = [_talk(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(locomo.glob("*.json"))]
    answered: list[tuple[Any, set[int]]] = []
    unanswered: list[Any] = []
    for (turns, asked), (_, others) in zip(talks, [*talks[1:], talks[0]], strict=True):
        older = turns[:-TURNS]
        held = [(question, {i for i in at if i < len(older)}) for question, at in asked]
        held = [(question, at) for question, at in held if at]
        likely = cosines(embedder, older, [question for question, _ in held])
        answered += [(row, at) for row, (_, at) in zip(likely, held, strict=True)]
        unanswered += list(cosines(embedder, older, [question for question, _ in others]))
    told("LoCoMo", answered, unanswered)


def _talk(read: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, set[int]]]]:
    """Its turns, and its questions with the numbers of the turns that answer them. Those without an answer (5) are left out."""
    turns: list[tuple[str, str]] = []
    where: dict[str, int] = {}
    number = 1
    while said := read.get(f"session_{number}"):
        for i in range(0, len(said) - 1, 2):
            where |= {each["dia_id"]: len(turns) for each in said[i : i + 2]}
            first, second = (f"{each['speaker']}: {each.get('text', '')}" for each in said[i : i + 2])
            turns.append((first, second))
        number += 1
    asked = [(q["question"], {where[e] for e in q["evidence"] if e in where}) for q in read["qa"] if q["category"] != 5]
    return turns, asked


async def show(name: str, inputs: Iterable[Any], work: Callable[[Any], Awaitable[object]]) -> None:
    p10, p50, p95 = np.quantile(await timed(inputs, work), (0.1, 0.5, 0.95))
    print(f"  {name:42} p10 {p10:6.2f}  p50 {p50:6.2f}  p95 {p95:6.2f} ms", flush=True)


async def recall(data: Path) -> None:
    found = list(rows(data / "medquad/qa.jsonl"))
    with tempfile.TemporaryDirectory(prefix="vital-") as folder:
        async with open_store(data_dir=Path(folder) / "database") as store:
            for turns in (200, 2_000):
                await _recall(store, found, turns)


async def _recall(store: Store, found: Sequence[dict[str, Any]], turns: int) -> None:
    embedder = MiniLM()
    asked = CachedEmbedder(embedder, entries=10 * ASKED)
    vectors = TurnVectors(store, embedder, questions=asked)
    before, after = Conversations(store), Conversations(store, vectors=vectors)
    talk = f"talk of {turns}"
    said = [found[n % len(found)] for n in range(turns)]
    given = {
        "talk": talk,
        "questions": [row["question"] for row in said],
        "answers": [row["answer"][:900] for row in said],
    }
    async with store.transaction("t") as conn:
        await conn.execute(FILL, given)
    question = Question("?", "t", "u", conversation=talk, run_id="now")
    print(f"{turns} turns")
    while await vectors.embed(question) > 1:
        pass
    questions = [replace(question, text=f"{found[37 * n % len(found)]['question']} ({n})") for n in range(2 * ASKED)]
    known, unknown = questions[:ASKED], questions[ASKED:]
    for each in known:
        asked.embed([each.text])
    for _ in range(2):  # by turns, as the machine has moods
        await show("without vectors", known, before.recall)
        await show("with vectors, the question's is known", known, after.recall)
    await show("with vectors, the question is embedded", unknown, after.recall)
    await show("after a turn: nothing lacks a vector", [question] * ASKED, vectors.embed)

    async def again(n: int) -> None:
        async with store.transaction("t") as conn:
            await conn.execute("delete from turn_vectors where run_id = %s", [f"{talk}-{n + 1}"])
        assert await vectors.embed(question) == 1

    await show("after a turn: it is embedded", range(50), again)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("part", choices=("likeness", "recall"))
    parser.add_argument("--locomo", type=Path, help="the folder with LoCoMo's conversations, a JSON file each")
    given = parser.parse_args()
    if given.part == "likeness":
        likeness(given.data, given.locomo)
    else:
        asyncio.run(recall(given.data))


if __name__ == "__main__":
    main()
