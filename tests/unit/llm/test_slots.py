"""The account of a model server's slots, without a server."""

from __future__ import annotations

import asyncio

import pytest

from vital_engine.flow import run_virtual
from vital_engine.services.llm.slots import Held, Slots

SOON = 100.0


async def taken(slots: Slots, run: str, text: str = "", use: str = "speaking") -> Held:
    held = await slots.take(run, text, use, until=asyncio.get_running_loop().time() + SOON)  # type: ignore[arg-type]
    assert held is not None
    return held


def number(held: Held) -> int:
    return held.slot.number


def test_a_run_comes_back_to_where_it_read() -> None:
    async def turn() -> None:
        slots = Slots(3)
        first = await taken(slots, "a", "the beginning", "reading")
        slots.give(first)
        # another one's text is the same: it may not have the slot that is kept
        other = await taken(slots, "b", "the beginning", "reading")
        assert number(other) != number(first)
        slots.give(other)
        for use in ("reading", "speaking"):
            again = await taken(slots, "a", "the beginning and the end", use)
            assert number(again) == number(first)
            slots.give(again)

    run_virtual(turn())


def test_an_answer_waits_while_its_own_prompt_is_read() -> None:
    async def turn() -> None:
        slots = Slots(2)
        reading = await taken(slots, "a", "x", "reading")
        answer = asyncio.create_task(taken(slots, "a", "x y"))
        await asyncio.sleep(1)
        assert not answer.done(), "the idle slot would read all of it again"
        slots.give(reading)
        assert number(await answer) == number(reading)

    run_virtual(turn())


def test_nobody_waits_while_another_slot_is_idle() -> None:
    async def turn() -> None:
        slots = Slots(2)
        slots.give(await taken(slots, "a", "", "reading"))
        await asyncio.sleep(1)
        slots.give(await taken(slots, "b", "", "reading"))
        # both are kept, and idle: an answer takes the one that was kept longest, reading ahead none
        assert await slots.take("c", "", "reading", until=SOON) is None
        assert number(await taken(slots, "c")) == 0
        assert number(await taken(slots, "b")) == 1

    run_virtual(turn())


def test_a_run_that_never_speaks_gives_its_slot_back() -> None:
    async def turn() -> None:
        slots = Slots(1, kept=20)
        slots.give(await taken(slots, "a", "", "reading"))
        await asyncio.sleep(19)
        assert await slots.take("b", "", "reading", until=SOON) is None
        await asyncio.sleep(2)
        assert await slots.take("b", "", "reading", until=SOON) is not None

    run_virtual(turn())


def test_who_has_been_answered_keeps_nothing() -> None:
    async def turn() -> None:
        slots = Slots(1)
        slots.give(await taken(slots, "a"))
        assert await slots.take("b", "", "reading", until=SOON) is not None

    run_virtual(turn())


def test_the_next_turn_goes_where_the_conversation_lies() -> None:
    async def turn() -> None:
        slots = Slots(3)
        held = [await taken(slots, text, text) for text in ("rules one", "rules two", "rules three")]
        for one in held:
            slots.give(one)
        assert number(await taken(slots, "new", "rules two, and more")) == number(held[1])

    run_virtual(turn())


def test_slots_are_given_in_the_order_of_asking() -> None:
    async def turn() -> list[int]:
        slots, served = Slots(2), list[int]()

        async def speak(i: int) -> None:
            held = await taken(slots, f"run {i}")
            served.append(i)
            await asyncio.sleep(1 + i / 100)
            slots.give(held)

        async with asyncio.TaskGroup() as group:
            for i in range(8):
                group.create_task(speak(i))
        assert all(slot.held is None for slot in slots.all)
        return served

    assert run_virtual(turn()) == list(range(8))


def test_one_who_goes_while_he_waits_holds_nothing() -> None:
    async def turn() -> None:
        slots = Slots(1)
        held = await taken(slots, "a")
        gone = asyncio.create_task(taken(slots, "b"))
        stays = asyncio.create_task(taken(slots, "c"))
        await asyncio.sleep(0)
        slots.give(held)  # "b" has it now, and is cancelled before it hears so
        gone.cancel()
        await asyncio.sleep(0.1)
        assert gone.cancelled() and (await stays).slot.number == 0

    run_virtual(turn())


def test_a_wait_has_an_end() -> None:
    async def turn() -> None:
        slots = Slots(1)
        held = await taken(slots, "a")
        with pytest.raises(TimeoutError):
            await slots.take("b", "", "speaking", until=asyncio.get_running_loop().time() + 5)
        slots.give(held)
        await taken(slots, "b")

    run_virtual(turn())


def test_a_run_without_a_name_is_nobodys() -> None:
    async def turn() -> None:
        slots = Slots(2)
        reading = await taken(slots, "", "x", "reading")
        other = await taken(slots, "", "x")  # does not wait: it is another turn
        assert number(other) != number(reading)

    run_virtual(turn())
