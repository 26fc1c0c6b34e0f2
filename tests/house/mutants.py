"""Faults that no test may overlook: in the policy, in taint, in the life of an approval, in the limits of a turn.

``python tests/house/mutants.py [WORD ...]`` plants each (those whose name has a WORD) in a process of its own and runs
the tests that should know it. A fault with which they pass has survived; a fault whose line is not in its module any
more is stale. Both fail, and both are named.

The tests are collected once. Each fault is planted in a fork of that process: the code of the module's functions is
replaced in place, so that who has imported them by name runs the fault too.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Final

import pytest
from hypothesis import Phase, settings

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src" / "vital_engine"
SECONDS: Final = 60.0
"""For the tests of one fault: one that they hang of is as good as seen."""
SEEN, UNTRIED = 1, 70
"""How the process of a fault exits: a test has failed; or none could, since it could not be planted or its test not set up."""

SAFETY: Final = "tests/integration/safety/"
POLICY = ("tests/unit/modes/test_policy.py",)
TAINT = (
    f"{SAFETY}test_taint.py::test_what_is_not_shown_to_be_the_persons_own_is_tainted",
    f"{SAFETY}test_taint.py::test_a_mark_is_not_taken_off_and_who_was_handed_a_conversation_has_read_it",
    f"{SAFETY}test_taint.py::test_an_edit_clears_it_only_if_nothing_is_left_of_what_was_proposed",
)
ENTERS = (f"{SAFETY}test_taint.py::test_no_policy_approves_it_but_for_a_mere_calculation", f"{SAFETY}test_consent.py")
KNOWN = (f"{SAFETY}test_taint.py::test_what_was_read_from_a_conversation_is_not_cleared_by_being_known",)
PERSON = ("tests/unit/modes/test_policy.py", f"{SAFETY}test_cost_limit.py::test_of_the_calls_that_a_person")
LIFE = ("tests/unit/approvals/test_transitions.py",)
STORE = ("tests/integration/approvals/test_store.py",)
ASK = (f"{SAFETY}test_limits_are_checked.py::test_the_library", f"{SAFETY}test_limits_are_checked.py::test_so_are")
TOOL = (
    f"{SAFETY}test_consent.py::test_the_toolbox_says_so_itself",
    f"{SAFETY}test_consent.py::test_a_suggester_cannot",
)
BUDGET = (
    f"{SAFETY}test_cost_limit.py::test_the_reserve_is",
    f"{SAFETY}test_cost_limit.py::test_a_price_that_grows",
    f"{SAFETY}test_cost_limit.py::test_less_than_a_sentence",
    f"{SAFETY}test_cost_limit.py::test_what_the_tools_cost_is_taken_off[library]",
)
ONCE = (f"{SAFETY}test_cost_limit.py::test_a_late_call_is_not_sent_twice",)
TOLD = (
    f"{SAFETY}test_cost_limit.py::test_where_less_is_left_the_answer_is_shorter_and_says_so[library]",
    f"{SAFETY}test_cost_limit.py::test_where_not_even_a_sentence_is_paid_for_nobody_is_asked[library",
    f"{SAFETY}test_cost_limit.py::test_a_price_that_is_not_known_is_said[library]",
    f"{SAFETY}test_cost_limit.py::test_what_a_call_really_cost_is_compared_with_the_limit_afterwards[library]",
)
"""The tests that should know a fault: files, or the beginnings of tests' names. Without a database, but for those of STORE."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault: in *module*, *line* (which stands there once) reads *instead*."""

    name: str
    module: str
    line: str
    instead: str
    tests: tuple[str, ...]


def _table() -> Iterator[Mutant]:
    def of(module: str, tests: tuple[str, ...], *faults: tuple[str, str, str]) -> Iterator[Mutant]:
        for name, line, instead in faults:
            yield Mutant(name, module, line, instead, tests)

    yield from of(
        "modes/approval.py", POLICY,
        ("policy: the expert's allow-list", "return not brief.expert.tools or tool_call.tool in brief.expert.tools", "return True"),
        ("policy: an open list", "return not brief.expert.tools or tool_call.tool", "return tool_call.tool"),
        ("policy: never automatic", "if tool_call.tool in settings.never_automatic:", "if False:"),
        ("policy: effects", "if tool_call.effect is Effect.EFFECT:", "if False:"),
        ("policy: effects alone", "if tool_call.effect is Effect.EFFECT:", "if tool_call.effect is not Effect.PURE:"),
        ("policy: a tool's consent", "if tool_call.needs_consent:", "if False:"),
        ("policy: taint", "if tool_call.tainted and tool_call.effect is not Effect.PURE:", "if False:"),
        ("policy: tainted calculations", "if tool_call.tainted and tool_call.effect is not Effect.PURE:", "if tool_call.tainted:"),
        ("policy: the ceiling", "if tool_call.cost_usd > left:", "if False:"),
        ("policy: up to the ceiling", "if tool_call.cost_usd > left:", "if tool_call.cost_usd >= left:"),
        ("policy: adding up", "if not refusal:\n            spent += tool_call.cost_usd", "if not refusal:\n            spent += 0"),
        ("policy: what is refused costs nothing", "if not refusal:", "if True:"),
        ("policy: the question's ceiling", "if ceiling is None else min(ceiling,", "if True else min(ceiling,"),
        ("policy: the lower ceiling", "if ceiling is None else min(ceiling,", "if ceiling is None else max(ceiling,"),
        ("policy: the question's ceiling reaches it", "ceiling = opened.question.limits.cost_usd", "ceiling = None"),
        ("policy: its verdict", "Decision(tool_call, not refusal, POLICY, reason)", "Decision(tool_call, True, POLICY, reason)"),
        ("person: is not asked", "        if not _allowed(tool_call, brief):\n            refused.append", "        if False:\n            refused.append"),
    )  # fmt: skip
    yield from of(
        "modes/approval.py", PERSON,
        ("person: is asked too much", "elif ceiling is not None and tool_call.cost_usd > ceiling:", "elif False:"),
        ("person: approves too much", "if said.approved and ceiling is not None and tool_call.cost_usd", "if False and tool_call.cost_usd"),
        ("person: adding up", "        elif said.approved:\n            spent += tool_call.cost_usd", "        elif said.approved:\n            spent += 0"),
        ("person: says no", 'approval.call, action != "reject", approval.by', "approval.call, True, approval.by"),
        ("person: says nothing", "Decision(approval.tool_call, False, UNDECIDED", "Decision(approval.tool_call, True, UNDECIDED"),
    )  # fmt: skip
    yield from of(
        "nouns/provenance.py", TAINT,
        ("taint: foreign sources", "if read - _VOUCHED - {ArgumentSource.MODEL}:", "if False:"),
        ("taint: models", "if read and ArgumentSource.MODEL not in read:", "if read:"),
        ("taint: who says nothing", "return not all(_stands(leaf, text)", "return False and not all(_stands(leaf, text)"),
        ("taint: earlier messages", "if not tool_call.sources and question.memory is not None:", "if False:"),
        ("taint: parts of words", r'rf"(?<!\w){sought}(?!\w)"', "sought"),
        ("taint: yes and no", "        case bool():\n            return False", "        case bool():\n            return True"),
        ("taint: names in a value", "            yield name\n", "            pass\n"),
        ("taint: an edit takes it off", "tainted=tool_call.tainted and left", "tainted=False"),
        ("taint: an edit cannot take it off", "tainted=tool_call.tainted and left", "tainted=tool_call.tainted"),
    )  # fmt: skip
    yield from of(
        "turn/gather.py", ENTERS,
        ("enters: marked", "return marked(replace(suggestions, calls=calls) if calls else suggestions, question)", "return replace(suggestions, calls=calls) if calls else suggestions"),
        ("enters: as its tool is", "if isinstance(caller, Declaring):", "if False:"),
    )  # fmt: skip
    yield from of(
        "services/tools/toolbox.py", TOOL,
        ("tool: consent", "tool_call.needs_consent or each.consent", "tool_call.needs_consent"),
        ("tool: effect", "effect = max(tool_call.effect, each.effect, key=_RISK.index)", "effect = tool_call.effect"),
        ("tool: cost", "max(tool_call.cost_usd, each.cost_usd)", "tool_call.cost_usd"),
        ("tool: says its consent", "needs_consent=each.consent,", "needs_consent=False,"),
        ("tool: says what it read", "sources=(ArgumentSource.QUESTION,),", "sources=(),"),
    )  # fmt: skip
    yield from of("services/caching/cached.py", KNOWN, (
        "cache: marked before it is kept",
        "return marked(await self._suggester.suggest(question, brief), question)",
        "return await self._suggester.suggest(question, brief)",
    ))  # fmt: skip
    yield from of(
        "nouns/transitions.py", LIFE,
        ("approval: expires", "if approval.pending and now >= approval.expires_at:", "if False:"),
        ("approval: expires in time", "now >= approval.expires_at:", "now > approval.expires_at:"),
        ("approval: is not decided late", 'if lapse(approval, now).status == "expired":', "if False:"),
        ("approval: is decided once", "if first.action != decision.action or edits:", "if edits:"),
        ("approval: is edited once", "if first.action != decision.action or edits:", "if first.action != decision.action:"),
        ("approval: hash of an edit", "if arguments is None else hash_of(arguments)", "if True else None"),
        ("approval: all or none", "for unknown in decisions.keys() - known.keys():", "for unknown in ():"),
        ("approval: who is not asked", "if tool_call.id not in refused:", "if True:"),
        ("approval: one for an id", "first.setdefault(tool_call.id, tool_call)", "first[len(first)] = tool_call"),
        ("approval: the undecided do not start", 'case "approved" | "edited":', 'case "approved" | "edited" | "proposed":'),
        ("approval: the rejected do not start", 'case "approved" | "edited":', 'case "approved" | "edited" | "rejected":'),
        ("approval: the expired do not start", 'case "approved" | "edited":', 'case "approved" | "edited" | "expired":'),
        ("approval: an effect is not repeated", "if approval.tool_call.effect is Effect.EFFECT:", "if False:"),
        ("approval: only an effect is not repeated", "if approval.tool_call.effect is Effect.EFFECT:", "if True:"),
        ("approval: what is done is not repeated", "            return approval, False\n        case _:", "            return approval, True\n        case _:"),
        ("approval: the first result stands", "if approval.tool_result is not None:", "if False:"),
        ("approval: what is unknown stays so", 'status="outcome_unknown" if tool_result.status == UNKNOWN else "failed"', 'status="failed"'),
        ("approval: attempts", "attempts=approval.attempts + 1", "attempts=approval.attempts"),
    )  # fmt: skip
    yield from of(
        "store/approvals.py", STORE,
        ("store: an ended turn", "and t.run_id = p.run_id and t.ended_at is null", "and t.run_id = p.run_id"),
        ("store: one claims", "and (p.held_until is null or p.held_until <= clock_timestamp())", ""),
        ("store: a claim that was lost", "if await _locked(conn, claim.run_id, claim.scope) != claim.fence:", "if await _locked(conn, claim.run_id, claim.scope) is None:"),
        ("store: holding what was lost", "and user_id = %(user)s and fence = %(fence)s", "and user_id = %(user)s"),
        ("store: another's turn", "where p.run_id = %(run_id)s and p.user_id = %(user)s\n\"\"\"", "where p.run_id = %(run_id)s\n\"\"\""),
        ("store: what has lapsed", "if lapsed else approvals", "if False else approvals"),
    )  # fmt: skip
    yield from of(
        "turn/ask.py", ASK,
        ("limits: seconds", "0 < seconds < inf", "seconds < inf"),
        ("limits: an end of time", "0 < seconds < inf", "0 < seconds"),
        ("limits: tokens", "tokens >= 1)", "tokens >= 0)"),
        ("limits: no passages", "1 <= passages <= MOST_PASSAGES", "0 <= passages <= MOST_PASSAGES"),
        ("limits: all passages", "1 <= passages <= MOST_PASSAGES", "1 <= passages"),
        ("limits: less than nothing", "and usd >= 0)", ")"),
        ("limits: no amount", "(usd := Decimal(cost)).is_finite() and", "(usd := Decimal(cost)) is not None and"),
        ("limits: true is no number", "and not isinstance(value, bool)", ""),
        ("limits: names", "len(value) <= LONGEST_NAME)", "True)"),
    )  # fmt: skip
    yield from of(
        "turn/budget.py", BUDGET,
        ("cost: tools are taken off", "limit - prompt.tool_results.cost_usd, prompt", "limit, prompt"),
        ("cost: the margin", "ceil(MARGIN * estimate_usage", "ceil(1 * estimate_usage"),
        ("cost: it is held to", "or most <= left:", "or True:"),
        ("cost: a sentence at least", "if output < min(LEAST, wanted) or", "if"),
        ("cost: looked up again", "is None or reserved > left:", "is None:"),
        ("cost: the output too", "Usage(input=read, output=output, estimated=True)", "Usage(input=read, estimated=True)"),
    )  # fmt: skip
    yield from of("turn/reply.py", ONCE, (
        "cost: one call for it",
        "if question.limits.cost_usd is not None:",
        "if question.limits.cost_usd is not None and accountant is not None:",
    ))  # fmt: skip
    yield from of(
        "modes/assemble.py", TOLD,
        ("cost: nobody was paid", "if isinstance(spoken.error, CostLimit):", "if False:"),
        ("cost: afterwards", "(spent := cost.usd + tool_results.cost_usd) > limit:", "(spent := limit) > limit:"),
        ("cost: unknown", "    if cost.usd is None:\n        yield", "    if False:\n        yield"),
        ("cost: a shorter answer is said", "if draft.output_limit is not None:", "if False:"),
    )  # fmt: skip


MUTANTS: Final = tuple(_table())


def planted(mutant: Mutant) -> str:
    """The module's source with the fault. LookupError: its line does not stand there, or not once."""
    source = (SOURCE / mutant.module).read_text(encoding="utf-8")
    if (count := source.count(mutant.line)) != 1:
        raise LookupError(f"{mutant.name}: stands {count} times in {mutant.module}: {mutant.line!r}")
    return source.replace(mutant.line, mutant.instead)


class Functions:
    """Every function of the package that lives in this process, looked for once."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], list[FunctionType]] = {}
        for each in gc.get_objects():
            if isinstance(each, FunctionType) and each.__code__.co_filename.startswith(str(SOURCE)):
                self._of.setdefault((each.__code__.co_filename, each.__code__.co_qualname), []).append(each)

    def plant(self, mutant: Mutant) -> None:
        """Replace the code of the module's functions, or else its constants, in this process.

        :raises LookupError: nothing has become another by it.
        """
        file, module = str(SOURCE / mutant.module), _module(mutant)
        code, changed = compile(planted(mutant), file, "exec"), 0
        for faulty in _codes(code):
            for function in self._of.get((file, faulty.co_qualname), ()):
                if function.__code__ != faulty:
                    function.__code__ = faulty
                    changed += 1
        if not changed:
            apart = {"__file__": file, "__package__": module.__package__, "__name__": module.__name__}
            exec(code, apart)
            for name, value in apart.items():
                if isinstance(value, str) and not name.startswith("__") and vars(module)[name] != value:
                    setattr(module, name, value)
                    changed += 1
        if not changed:
            raise LookupError(f"{mutant.name}: changes nothing in {mutant.module}")


def _module(mutant: Mutant) -> ModuleType:
    return importlib.import_module("vital_engine." + mutant.module.removesuffix(".py").replace("/", "."))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


class Planting:
    """A plugin that takes the place of the test run: the tests are collected once, and run in a fork for each fault."""

    def __init__(self, mutants: tuple[Mutant, ...], *, width: int) -> None:
        self.mutants, self.width = mutants, width
        self.wrong: dict[str, str] = {}
        self._phases: list[str] = []  # of the tests that failed in this process
        self._last = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._phases.append(report.when or "")
            self._last = f"{report.nodeid}, {report.when}: {report.longreprtext.strip()[-300:]}"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._functions = Functions()
        gc.collect()
        gc.freeze()  # what is never looked through is never copied
        # Those that need the database last: it is started once, by a test that is run here.
        plain = [m for m in self.mutants if m.tests != STORE]
        stored = [m for m in self.mutants if m.tests == STORE]
        self._all(session, plain)
        if stored:
            first, second = self._items(session, STORE)[:2]
            first.config.hook.pytest_runtest_protocol(item=first, nextitem=second)
            self._all(session, stored)
            second.config.hook.pytest_runtest_protocol(item=second, nextitem=None)
        if self._phases:
            self.wrong["(no fault)"] = "the tests fail without any"
        return True

    def _items(self, session: pytest.Session, tests: tuple[str, ...]) -> list[pytest.Item]:
        return [item for test in tests for item in session.items if item.nodeid.startswith(test)]

    def _all(self, session: pytest.Session, mutants: list[Mutant]) -> None:
        waiting, running = list(mutants), dict[int, tuple[Mutant, float]]()
        while waiting or running:
            while waiting and len(running) < self.width:
                mutant = waiting.pop(0)
                running[self._fork(session, mutant)] = mutant, time.monotonic()
            for child, (mutant, since) in list(running.items()):
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    del running[child]
                    if (code := os.waitstatus_to_exitcode(status)) != SEEN:
                        self.wrong[mutant.name] = "survived" if code == 0 else "could not be tried: see above"
                elif time.monotonic() - since > SECONDS:
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
                    del running[child]
            time.sleep(0.005)

    def _fork(self, session: pytest.Session, mutant: Mutant) -> int:
        """The id of a process that runs the fault's tests up to the first that fails."""
        if child := os.fork():
            return child
        status = UNTRIED
        try:
            self._functions.plant(mutant)
            if (database := sys.modules.get("store_fixtures")) is not None:  # names of its own for its databases
                database._number = itertools.count(os.getpid() * 1000)  # type: ignore[attr-defined]
            status = self._try(self._items(session, mutant.tests))
        except BaseException as error:  # whatever it is, this process must not go on as its parent
            print(f"{mutant.name}: {error!r}", file=sys.__stderr__)
        finally:
            os._exit(status)

    def _try(self, items: list[pytest.Item]) -> int:
        for item, after in zip(
            items, [*items[1:], items[0]], strict=True
        ):  # what they share is the parent's, and stays
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self._phases:
                if self._phases[0] == "call":
                    return SEEN
                print(self._last, file=sys.__stderr__)
                return UNTRIED
        return 0 if items else UNTRIED


def main(words: list[str]) -> int:
    chosen = tuple(m for m in MUTANTS if not words or any(word in m.name for word in words))
    os.chdir(ROOT)
    since = time.monotonic()
    wrong = {}
    for mutant in chosen:
        try:
            planted(mutant)
        except LookupError as error:
            wrong[mutant.name] = str(error)
    if not wrong:
        for mutant in chosen:
            _module(mutant)
        settings.register_profile("seen", phases=[Phase.explicit, Phase.generate], database=None, deadline=None)
        settings.load_profile("seen")  # the smallest example of a fault is of no use here
        planting = Planting(chosen, width=max(2, os.cpu_count() or 2))
        files = dict.fromkeys(test.partition("::")[0] for m in chosen for test in m.tests)
        quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:warnings")
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            ended = pytest.main([*quiet, f"--rootdir={ROOT}", *files], plugins=[planting])
        wrong = planting.wrong if ended in (0, 1) else {"(no fault)": f"the tests could not be collected: {ended!r}"}
    for name, why in wrong.items():
        print(f"{name}: {why}")
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} faults were seen, in {time.monotonic() - since:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
