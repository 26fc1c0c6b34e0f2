"""``vital chat``: a conversation in the terminal.

The engine runs in a thread of its own, and the terminal in this one: a line can be edited, and Ctrl-C stops the answer
and not the program. What is typed at the prompt is a message and never an approval; calls are decided by a key, at the
frame that shows them.
"""

from __future__ import annotations

import contextlib
import json
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any, TextIO

from anyio.from_thread import BlockingPortal, start_blocking_portal
from rich.console import Console
from rich.text import Text

from vital_engine.engine import Engine
from vital_engine.errors import InvalidArguments, VitalError
from vital_engine.modes import Broken, Event, Finished, StepEvent, Token, Turn
from vital_engine.nouns import Answer, Approval, ApprovalDecision, Question
from vital_engine.settings import Settings
from vital_engine.text.visible import exact, json_object, safe
from vital_engine.turn.plan import INVOKE, RECALL, RETRIEVE, SUGGEST

from . import screen
from .terminal import OK
from .timeline import time_line

COMMANDS = (
    ("/help", "this list"),
    ("/sources", "all that was retrieved for the last answer"),
    ("/timeline", "when each step of the last answer ran"),
    ("/expert ID", "the expert who answers from now on; without an id, the engine chooses"),
    ("/mode N", "1 or 2: each question for itself; 3: you approve tools; 4: the policy does"),
    ("/decide", "the calls that wait for your decision"),
    ("/new", "another conversation"),
    ("/quit", "leave; what waits can be decided later (vital approvals list)"),
)
BUSY = {
    RETRIEVE.name: "searching",
    SUGGEST.name: "choosing tools",
    RECALL.name: "remembering",
    INVOKE.name: "calling tools",
}


def chat(
    settings: Settings, *, mode: int, expert: str | None, conversation: str | None, console: Console | None = None
) -> int:
    """Talk until the end of the input. Returns the exit code."""
    console = console or Console(highlight=False)
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # lines can be edited and found again
    with start_blocking_portal(name="vital") as portal, portal.wrap_async_context_manager(Engine(settings)) as app:
        for note in app.notes:
            print(f"note: {note}", file=sys.stderr)
        talk = Talk(app, portal, console, mode, expert or settings.expert, conversation or uuid.uuid4().hex)
        talk.workflow()  # an unknown mode is refused before anything is said
        talk.run()
    return OK


@dataclass(slots=True)
class Talk:
    """One person's conversation. ``waiting``: the calls of the turn that waits for a decision, if one does."""

    app: Engine
    portal: BlockingPortal
    console: Console
    mode: int
    expert: str | None
    conversation: str
    last: Answer | None = None
    waiting: tuple[Approval, ...] = ()
    _queued: list[str] = field(default_factory=list)

    def workflow(self) -> Any:
        """The workflow of the present mode."""
        return self.app.workflow(self.mode)

    def run(self) -> None:
        """Read messages and commands until the end of the input."""
        self._greet()
        self._take_up()
        while (text := self._line("you › ")) is not None:
            if not text.strip():
                continue
            if text.startswith("/"):
                if not self._command(*text[1:].split(maxsplit=1)):
                    break
                continue
            self._queued.append(text)
            if self.waiting:
                self.console.print(Text("Your message is queued: first, a call waits for your decision.", "yellow"))
                self._decide()
            while self._queued and not self.waiting:
                self._say(self._queued.pop(0))

    # -- saying and hearing
    def _say(self, text: str) -> None:
        talk = self.conversation if self.mode in {3, 4} else None
        scope = self.app.scope()
        question = Question(text, scope.tenant, scope.user, conversation=talk, expert=self.expert)
        workflow = self.workflow()
        self._follow(lambda: self.portal.call(workflow.start, question))

    def _follow(self, start: Any) -> None:
        """A turn to its end, or to its pause. Ctrl-C stops it; what was said is kept."""
        try:
            answer = self._show(start())
        except VitalError as error:
            self._told(error)
            return
        if answer is None:
            return
        self.last = answer
        self.waiting = answer.approvals if answer.status == "paused" else ()
        if self.waiting:
            self._decide()
        else:
            screen.report(self.console, answer)
            self.console.print()

    def _show(self, turn: Turn) -> Answer | None:
        words, running = screen.Words(self.console), dict[str, None]()
        answer: Answer | None = None
        status = self.console.status(Text("thinking", "dim"), spinner="dots")
        status.start()
        try:
            for event in followed(self.portal, turn):
                match event:
                    case Token(text=text):
                        status.stop()
                        words.feed(text)
                    case StepEvent(step=step, outcome="") if step in BUSY:
                        running[BUSY[step]] = None
                        status.update(Text(", ".join(running), "dim"))
                    case StepEvent(step=step):
                        running.pop(BUSY.get(step, ""), None)
                    case Finished():
                        answer = event.answer
                    case Broken(code=code, message=message):
                        status.stop()
                        words.close()
                        self.console.print(Text(f"{message} ({code})", "yellow"))
                    case _:
                        pass
        finally:
            status.stop()
        if answer is not None:
            words.close()
        return answer

    # -- deciding
    def _decide(self) -> None:
        """Ask about each call that waits, and go on when all are decided."""
        if not self.waiting:
            self.console.print(Text("Nothing waits for a decision.", "dim"))
            return
        pending = [a for a in self.waiting if a.pending]
        decisions: dict[str, ApprovalDecision] = {}
        for number, approval in enumerate(pending, start=1):
            screen.call(self.console, approval, number=number, of=len(pending))
            if (decision := self._ruling(approval)) is None:
                self.console.print(Text(f"Left for later: /decide, or vital approvals approve {approval.id}", "dim"))
                return
            decisions[approval.id] = decision
        workflow, run_id = self.workflow(), self.waiting[0].run_id
        self.waiting = ()  # unless what follows says otherwise
        self._follow(lambda: self.portal.call(workflow.start_resumed, run_id, decisions))

    def _ruling(self, approval: Approval) -> ApprovalDecision | None:
        while True:
            keys = (("a", " approve   "), ("r", " reject   "), ("e", " edit   "), ("l", " later"))
            shown = [part for key, means in keys for part in ((key, "bold cyan"), (means, ""))]
            self.console.print(Text.assemble("  ", *shown, " › "), end="")
            try:
                key = read_key()
            except KeyboardInterrupt:
                key = END
            said = {"a": "approve", "r": "reject", "e": "edit", "l": "later", END: "later"}.get(key, "?")
            self.console.print(said)
            match said:
                case "approve":
                    return ApprovalDecision("approve")
                case "reject":
                    return ApprovalDecision("reject", (self._line("  why (Enter: no reason) › ") or "").strip())
                case "later":
                    return None
                case "edit" if (edited := self._edited(approval)) is not None:
                    return edited
                case _:
                    continue

    def _edited(self, approval: Approval) -> ApprovalDecision | None:
        """New arguments, checked by the tool before anything is settled; None: keep those that were proposed."""
        before = json.dumps(dict(approval.call.arguments), ensure_ascii=True, sort_keys=True)
        self.console.print(Text(f"  now  {before}", "dim"), soft_wrap=True)
        text = self._line("  new arguments (JSON, Enter: keep) › ", prefilled=before)
        if not text or not text.strip() or text.strip() == before:
            return None
        try:
            argument_validator = self.app.services.argument_validator
            tool_call = replace(approval.tool_call, arguments=json_object(text))
            validated = (
                tool_call if argument_validator is None else self.portal.call(argument_validator.validate, tool_call)
            )
        except VitalError as error:
            self._told(error)
            return None
        self.console.print(Text(f"  new  {exact(json.dumps(dict(validated.arguments), ensure_ascii=False))}"))
        return ApprovalDecision("edit", arguments=validated.arguments)

    def _take_up(self) -> None:
        """What waits in this conversation since another day."""
        for turn in self.portal.call(self.app.approvals.pending, self.app.scope()):
            if turn.paused.question.conversation == self.conversation and turn.paused.mode == self.mode:
                self.waiting = turn.approvals
                self.console.print(Text(f"Still open: {safe(turn.paused.question.text)}", "yellow"))
                self._decide()
                return

    # -- commands
    def _command(self, name: str = "", value: str = "") -> bool:
        """False: leave."""
        match name:
            case "quit" | "exit" | "q":
                return False
            case "sources" if self.last is not None:
                screen.sources(self.console, self.last)
            case "timeline" if self.last is not None:
                screen.listing(self.console, time_line(self.last).splitlines())
            case "sources" | "timeline":
                self.console.print(Text("There is no answer yet.", "dim"))
            case "expert":
                self.expert = value.strip() or None
                self.console.print(Text(f"expert: {self.expert or 'chosen by the engine'}", "dim"))
            case "mode":
                self._switch(value.strip())
            case "decide":
                self._decide()
            case "new":
                self.conversation, self.waiting = uuid.uuid4().hex, ()
                self._greet()
            case "help":
                screen.table(self.console, COMMANDS)
            case _:
                self.console.print(Text(f"There is no /{name}; /help lists what there is.", "yellow"))
        return True

    def _switch(self, number: str) -> None:
        if self.waiting:
            self.console.print(Text("First decide what waits: /decide", "yellow"))
            return
        before = self.mode
        try:
            self.mode = int(number) if number.isdecimal() else 0
            self.workflow()
        except VitalError as error:
            self.mode = before
            self._told(error)
        self._greet()

    def _greet(self) -> None:
        mode = self.workflow().mode
        name = f"mode {mode.number}: {mode.name}"
        screen.greeting(
            self.console, mode=name, expert=self.expert or "chosen by the engine", conversation=self.conversation
        )

    def _told(self, error: VitalError) -> None:
        said = str(error) if isinstance(error, InvalidArguments) else error.public
        self.console.print(Text(f"{exact(said)} ({error.code})", "yellow"))

    def _line(self, prompt: str, *, prefilled: str = "") -> str | None:
        """A line of the person's; None at the end of the input."""
        try:
            return read_line(prompt, prefilled=prefilled)
        except EOFError:
            self.console.print()
            return None
        except KeyboardInterrupt:
            self.console.print()
            return "" if prompt.startswith("  ") else "/quit"


def followed(portal: BlockingPortal, turn: Turn) -> Iterator[Event]:
    """The turn's events until its end. Ctrl-C cancels the turn; its last events come all the same."""
    events: SimpleQueue[Event | None] = SimpleQueue()
    portal.start_task_soon(_pump, turn, events)
    while True:
        try:
            event = events.get()
        except KeyboardInterrupt:
            portal.call(turn.cancel)
            continue
        if event is None:
            return
        yield event


async def _pump(turn: Turn, events: SimpleQueue[Event | None]) -> None:
    async for event in turn.events.reader():
        events.put(event)
    events.put(None)


END = "\x04"
"""The end of the input, as Ctrl-D types it."""


def read_key(source: TextIO | None = None) -> str:
    """The next key, in lower case.

    :param source: default: standard input.
    :returns: :data:`END` at the end of the input.
    :raises KeyboardInterrupt: Ctrl-C.
    """
    source = sys.stdin if source is None else source
    if not source.isatty():
        line = source.readline()
        return line.strip()[:1].lower() if line else END
    try:
        import termios
        import tty
    except ImportError:  # not a POSIX terminal
        return input().strip()[:1].lower()
    number = source.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)  # Ctrl-C still interrupts
        return source.read(1).lower() or END
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def read_line(prompt: str, *, prefilled: str = "") -> str:
    """Read a line.

    :param prompt: shown before it.
    :param prefilled: its first text, where lines can be edited.
    :raises EOFError: the input has ended.
    """
    try:
        import readline
    except ImportError:
        return input(prompt)
    readline.set_startup_hook(lambda: readline.insert_text(prefilled))
    try:
        return input(prompt)
    finally:
        readline.set_startup_hook()
