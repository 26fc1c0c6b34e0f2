"""Approvals over HTTP: real sockets, the real store, a real toolbox whose tool counts its calls."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vital_engine.api import Backend, ServerLimits
from vital_engine.modes import Mode1ManualWorkflow, ParallelBaseWorkflow
from vital_engine.nouns import Brief, Effect, Question, Scope, ToolCall, ToolSuggestions
from vital_engine.services.tools import ToolArgumentValidator, Toolbox
from vital_engine.store import Listing, Store, StoredApprovals, Turns
from vital_engine.testing import scripted
from vital_engine.text.visible import visible

APPROVE = {"decision": "approve"}
STRANGERS = ({"X-Vital-Tenant": "other"}, {"X-Vital-User": "other"})
HIDDEN = "board\u202egro\u200b"


@dataclass
class Office:
    """A tool that reports, counts, and is proposed *calls* times for every question."""

    calls: int = 1
    seconds: float = 0.0
    sent: list[dict[str, Any]] = field(default_factory=list)
    toolbox: Toolbox = field(default_factory=lambda: Toolbox(model=True))  # the office suggests what no rule reads

    def __post_init__(self) -> None:
        async def send_report(to: str, copies: int = 1) -> str:
            """Send a report."""
            self.sent.append({"to": to, "copies": copies})
            await asyncio.sleep(self.seconds)
            return "sent"

        self.toolbox.tool(effect=Effect.EFFECT, consent=True, cost_usd="0.25")(send_report)

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        tool = self.toolbox["send_report"]
        return ToolSuggestions(
            tuple(
                ToolCall(
                    f"{question.run_id}-{n}",
                    tool.name,
                    {"to": HIDDEN, "copies": n},
                    "asked for",
                    effect=tool.effect,
                    cost_usd=tool.cost_usd,
                    definition=tool.definition,
                )
                for n in range(1, self.calls + 1)
            )
        )


Build = Callable[..., tuple[Backend, Any]]


@pytest.fixture
def build(store: Store) -> Build:
    """An engine on the store whose mode 1 proposes an office's calls, and its scripted services."""

    def make(
        office: Office, kind: type[ParallelBaseWorkflow] = Mode1ManualWorkflow, *, settings: Any = None, **script: Any
    ) -> tuple[Backend, Any]:
        turns, toolbox = Turns(store), office.toolbox
        services = replace(
            scripted(tokens=12, sentences=3, **script),
            tool_suggester=office,
            caller=toolbox,
            argument_validator=ToolArgumentValidator(toolbox),
            turns=turns,
            approvals=StoredApprovals(store),
        )
        workflow = kind(services, config=settings)
        engine = replace(Backend.around(workflow), archive=turns, listing=Listing(store))
        return engine, services

    return make


async def paused(served: Any, **more: Any) -> list[dict[str, Any]]:
    """Ask, and the calls that then wait, in order."""
    run_id = (await served.ask(mode=1, **more))["run_id"]
    assert (await served.ended(run_id))["status"] == "paused"
    found = (await served.client.get("/v1/approvals", params={"status": "pending"})).json()["approvals"]
    return [each for each in found if each["run_id"] == run_id]


async def decide(served: Any, call: str, body: dict[str, Any], **more: Any) -> Any:
    return await served.client.post(f"/v1/approvals/{call}", json=body, **more)


async def test_what_waits_is_listed_with_all_that_a_person_must_see(serving: Any, build: Build) -> None:
    engine, _ = build(Office())
    async with serving(engine) as served:
        (call,) = await paused(served)
        assert (call["status"], call["tool"], call["effect"], call["cost_usd"]) == (
            "proposed", "send_report", "effect", "0.25",
        )  # fmt: skip
        assert call["arguments"] == {"to": HIDDEN, "copies": 1}
        assert (call["tainted"], call["sources"], call["needs_consent"]) == (True, [], True)
        assert call["visible"]["arguments"] == '{"copies": 1, "to": "board\\u202egro\\u200b"}'
        assert len(call["arguments_hash"]) == 64 and call["expires_at"] > call["proposed_at"]
        assert (call["reason"], call["decided"], call["result"]) == ("asked for", None, None)
        assert call["turn"]["status"] == "paused" and call["turn"]["question"] == "What was found?"
        assert (await served.client.get(f"/v1/approvals/{call['id']}")).json() == call
        for status, count in (("proposed", 1), ("done", 0), ("expired", 0)):
            found = (await served.client.get("/v1/approvals", params={"status": status})).json()
            assert (len(found["approvals"]), found["next"]) == (count, None)
        wrong = await served.client.get("/v1/approvals", params={"status": "open"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "request.invalid")


async def test_a_list_comes_in_pages(serving: Any, build: Build) -> None:
    engine, _ = build(Office(calls=3))
    async with serving(engine) as served:
        runs = [(await paused(served))[0]["run_id"] for _ in range(2)]
        ids, after = [], ""
        while after is not None:
            page = (await served.client.get("/v1/approvals", params={"limit": 2, "after": after})).json()
            ids += [each["id"] for each in page["approvals"]]
            after = page["next"]
        assert ids == [f"{run}-{n}" for run in reversed(runs) for n in (1, 2, 3)]
        assert (await served.client.get("/v1/approvals", params={"after": "x"})).status_code == 422


async def test_with_the_last_decision_the_turn_goes_on_and_can_be_followed(
    serving: Any, build: Build, sse: Any
) -> None:
    office = Office(calls=3)
    engine, services = build(office, reply=0.2)
    async with serving(engine) as served:
        one, two, three = await paused(served)
        first = (await decide(served, one["id"], {**APPROVE, "reason": "needed"})).json()
        assert (first["runs_on"], first["waits_for"]) == (False, [two["id"], three["id"]])
        assert first["approval"]["decided"]["by"] == "local" and office.sent == []
        await decide(served, two["id"], {"decision": "reject", "reason": "twice is enough"})
        edit = {"decision": "edit", "arguments": {"to": "board", "copies": 7}}
        last = (await decide(served, three["id"], edit)).json()
        assert (last["runs_on"], last["waits_for"]) == (True, [])
        assert (last["approval"]["arguments"], last["approval"]["proposed_arguments"]["copies"]) == (
            edit["arguments"], 3,
        )  # fmt: skip
        events = sse((await served.client.get(last["links"]["events"])).text)
        turn = events[-1]["data"]["turn"]
        assert (events[-1]["event"], turn["status"]) == ("finished", "complete")
        assert "".join(e["data"]["text"] for e in events if e["event"] == "token") == turn["text"]
        assert sorted(sent["copies"] for sent in office.sent) == [1, 7]
        assert [c.port for c in services.calls if c.port == "retrieve"] == ["retrieve"]
        receipt = (await served.client.get(last["links"]["receipt"])).json()
        said = {d["tool_call"]["id"]: (d["approved"], d["by"], d["reason"]) for d in receipt["approvals"]}
        assert said[one["id"]] == (True, "local", "needed")
        assert said[two["id"]] == (False, "local", "twice is enough")
        shown = (await served.client.get(f"/v1/approvals/{three['id']}")).json()
        assert (shown["status"], shown["attempts"], shown["result"]["text"]) == ("done", 1, "sent")


async def test_eight_clients_approve_at_once_and_the_tool_is_called_once(serving: Any, build: Build) -> None:
    office = Office(seconds=0.05)
    engine, services = build(office)
    async with serving(engine) as served:
        (call,) = await paused(served)
        found = await asyncio.gather(*(decide(served, call["id"], APPROVE) for _ in range(8)))
        assert {r.status_code for r in found} == {200}, [r.text for r in found]
        assert len({r.json()["approval"]["decided"]["at"] for r in found}) == 1
        turn = await served.ended(call["run_id"])
        assert turn["status"] == "complete"
        log = (await served.client.get(f"/v1/turns/{call['run_id']}/events")).text
        again = await decide(served, call["id"], APPROVE)
        assert (again.status_code, again.json()["runs_on"]) == (200, False)
        assert again.json()["approval"]["decided"] == found[0].json()["approval"]["decided"]
        assert (await served.client.get(f"/v1/turns/{call['run_id']}/events")).text == log
        assert await served.ended(call["run_id"]) == turn
    assert len(office.sent) == len(services.prompts) == 1


async def test_whoever_repeats_follows_the_turn_that_runs(serving: Any, build: Build) -> None:
    engine, _ = build(Office(), reply=0.5)
    async with serving(engine) as served:
        (call,) = await paused(served)
        assert (await decide(served, call["id"], APPROVE)).json()["runs_on"]
        running = served.app_state.running.get(call["run_id"], Scope("local", "local"))
        again = (await decide(served, call["id"], APPROVE)).json()
        assert (again["runs_on"], again["waits_for"], len(served.app_state.running)) == (True, [], 1)
        assert served.app_state.running.get(call["run_id"], Scope("local", "local")) is running
        assert (await served.ended(call["run_id"]))["status"] == "complete"


async def test_eight_clients_of_two_servers_do_no_more(serving: Any, build: Build) -> None:
    office = Office(seconds=0.05)
    (one, ours), (two, theirs) = build(office), build(office)
    async with serving(one) as first, serving(two) as second:
        (call,) = await paused(first)
        found = await asyncio.gather(*(decide(s, call["id"], APPROVE) for s in (first, second) for _ in range(4)))
        assert {r.status_code for r in found} == {200}
        texts = [(await s.ended(call["run_id"]))["text"] for s in (first, second)]
        assert texts[0] == texts[1] != ""
    assert len(office.sent) == len(ours.prompts) + len(theirs.prompts) == 1


async def test_another_decision_is_a_conflict_and_the_first_stands(serving: Any, build: Build) -> None:
    office = Office(calls=2)
    engine, _ = build(office)
    async with serving(engine) as served:
        call, _ = await paused(served)
        await decide(served, call["id"], {"decision": "reject", "reason": "no"})
        edit = {"decision": "edit", "arguments": {"to": "x", "copies": 1}}
        for body in (APPROVE, edit):
            response = await decide(served, call["id"], body)
            assert (response.status_code, response.json()["error"]["code"]) == (409, "turn.conflict")
        again = await decide(served, call["id"], {"decision": "reject", "reason": "other words"})
        assert (again.status_code, again.json()["approval"]["decided"]["reason"]) == (200, "no")
    assert office.sent == []


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({}, "request.invalid", "decision: Field required"),
        ({"decision": "yes"}, "request.invalid", "'approve', 'reject' or 'edit'"),
        ({"decision": "approve", "reson": "x"}, "request.invalid", "did you mean 'reason'"),
        ({"decision": "approve", "arguments": {}}, "request.invalid", "for the decision 'edit'"),
        ({"decision": "edit"}, "request.invalid", "for the decision 'edit'"),
        ({"decision": "edit", "arguments": {"to": "a\0b"}}, "request.invalid", "NUL"),
        ({"decision": "edit", "arguments": {"to": "a", "copies": "many"}}, "tool.invalid_arguments", "copies"),
        ({"decision": "edit", "arguments": {"to": "a", "copy": 2}}, "tool.invalid_arguments", "copy"),
    ],
)
async def test_a_decision_that_is_none_settles_nothing(
    serving: Any, build: Build, body: Any, code: str, says: str
) -> None:
    engine, _ = build(Office())
    async with serving(engine) as served:
        (call,) = await paused(served)
        response = await decide(served, call["id"], body)
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (422, code)
        assert says in error["message"]
        assert (await served.client.get(f"/v1/approvals/{call['id']}")).json() == call


async def test_a_tool_that_has_changed_is_not_called(serving: Any, build: Build) -> None:
    office = Office()
    engine, _ = build(office)
    async with serving(engine) as served:
        (call,) = await paused(served)
        office.toolbox._tools["send_report"] = replace(office.toolbox["send_report"], description="Send it to all.")
        edited = await decide(served, call["id"], {"decision": "edit", "arguments": {"to": "a"}})
        assert (edited.status_code, edited.json()["error"]["code"]) == (409, "turn.conflict")
        assert (await decide(served, call["id"], APPROVE)).json()["runs_on"]
        turn = await served.ended(call["run_id"])
        assert (turn["status"], turn["tool_results"][0]["status"]) == ("complete", "void")
    assert office.sent == []


async def test_a_decision_that_comes_too_late_ends_the_turn_without_the_call(serving: Any, build: Build) -> None:
    office = Office()
    engine, _ = build(office, settings={"approval_seconds": 0.05})
    async with serving(engine) as served:
        run_id = (await served.ask(mode=1))["run_id"]
        assert (await served.ended(run_id))["status"] == "paused"
        await asyncio.sleep(0.06)
        late = await decide(served, f"{run_id}-1", APPROVE)
        assert (late.status_code, late.json()["error"]["code"]) == (410, "turn.expired")
        assert (await served.ended(run_id))["status"] == "complete"
        shown = (await served.client.get("/v1/approvals", params={"status": "expired"})).json()["approvals"]
        assert [(a["id"], a["turn"]["status"]) for a in shown] == [(f"{run_id}-1", "complete")]
        assert (await decide(served, f"{run_id}-1", APPROVE)).status_code == 410
        assert (await served.ended(run_id))["status"] == "complete"
    assert office.sent == []


async def test_what_is_unknown_or_somebody_elses_is_nowhere(serving: Any, build: Build) -> None:
    office = Office()
    engine, _ = build(office)
    async with serving(engine) as served:
        (call,) = await paused(served)
        for headers in STRANGERS:
            assert (await served.client.get("/v1/approvals", headers=headers)).json()["approvals"] == []
        for name, headers in ((call["id"], STRANGERS[0]), (call["id"], STRANGERS[1]), ("nothing", {})):
            for method, body in (("GET", None), ("POST", APPROVE)):
                response = await served.client.request(method, f"/v1/approvals/{name}", json=body, headers=headers)
                assert (response.status_code, response.json()["error"]["code"]) == (404, "turn.not_found")
        assert (await served.client.get(f"/v1/approvals/{call['id']}")).json() == call
    assert office.sent == []


async def test_a_server_without_room_settles_nothing(serving: Any, build: Build) -> None:
    office = Office()
    engine, _ = build(office)
    async with serving(engine, ServerLimits(turns=0, drain_seconds=0.2)) as full, serving(engine) as served:
        (call,) = await paused(served)
        refused = await decide(full, call["id"], APPROVE)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "turn.over_capacity")
        assert (await served.client.get(f"/v1/approvals/{call['id']}")).json()["status"] == "proposed"
        assert (await decide(served, call["id"], APPROVE)).json()["runs_on"]
        await served.ended(call["run_id"])
    assert len(office.sent) == 1


async def test_an_engine_without_a_store_has_no_approvals(serving: Any) -> None:
    async with serving() as served:
        for method, path, body in (("GET", "", None), ("GET", "/x", None), ("POST", "/x", APPROVE)):
            response = await served.client.request(method, f"/v1/approvals{path}", json=body)
            assert response.status_code == 404


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text()), max_size=4))
def test_what_is_visible_says_the_same_and_hides_nothing(value: dict[str, Any]) -> None:
    text = visible(value)
    assert json.loads(text) == value
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_letters_of_any_script_stand_as_they_are() -> None:
    assert visible("ä é 漢 हिन्दी עברית") == '"ä é 漢 हिन्दी עברית"'
    assert visible("\x7f\u00a0\u3164\ufe0f\U000e0041\n") == r'"\u007f\u00a0\u3164\ufe0f\udb40\udc41\n"'
