"""One step after another: what there is to gain."""

from __future__ import annotations

from .shapes import SEED, TEN, UNEVEN, Needs, Turn, Values, body


def seed() -> Turn:
    return _built(SEED)


def uneven() -> Turn:
    return _built(UNEVEN)


def ten() -> Turn:
    return _built(TEN)


def _built(needs: Needs) -> Turn:
    work = body(needs)

    async def turn() -> Values:
        values: dict[str, str] = {}
        for step, of in needs.items():
            values[step] = await work(step, *(values[one] for one in of))
        return values

    return turn
