"""A flow: steps joined by type. What one makes, another needs; the type is the wire between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from vital_engine.errors import FlowError

from .events import Log, Observer
from .plan import order, plan
from .policy import DATAFLOW, SEQUENTIAL, Shape
from .run import Execution, Run
from .step import Step
from .stream import Stream


class Flow:
    """Steps that run together.

    :param name: for events and drawings.
    :param parts: steps, or flows whose steps are taken over.
    :param given: the types that runs will be given; if said, an unmet need is refused here already.
    :raises FlowError: two makers of one type or one name, a circle, or an unmet need.
    """

    def __init__(
        self,
        name: str,
        *parts: Step[Any] | Flow,
        shape: Shape = DATAFLOW,
        given: Iterable[type] | None = None,
    ) -> None:
        self.name = name
        self.steps: tuple[Step[Any], ...] = tuple(
            s for part in parts for s in (part.steps if isinstance(part, Flow) else (part,))
        )
        self.shape = shape
        self.plan = plan(name, self.steps, shape)
        if given is not None:
            self._check_met(frozenset(given))

    def under(self, shape: Shape) -> Flow:
        """The same steps under other constraints."""
        return Flow(self.name, *self.steps, shape=shape)

    def sequential(self) -> Flow:
        """The same steps, one after another, in the order in which they stand."""
        return self.under(SEQUENTIAL)

    async def run(
        self,
        *given: object,
        within: float | None = None,
        observers: Sequence[Observer] = (),
        log: Log | None = None,
        since: float = 0.0,
    ) -> Run:
        """Run every step once, except those whose product is *given*.

        A ``Stream`` that has ended stands for the stream and for the value that it ended in.

        :param within: seconds for the whole run; what has not ended then is cancelled. 0 or less: nothing is started.
        :param observers: read the run's log as it grows; see :class:`.events.Log`.
        :param log: of a longer run, which this one continues: its owner notes where that begins and ends, and has the observers.
        :param since: seconds that the longer run had taken before: times of outcomes count from its beginning.
        :raises FlowError: something is needed that nothing makes, given twice, or given before it has ended; or observers are
            given beside a log, which has its own.
        """
        if log is not None and observers:
            raise FlowError(f"{self.name!r} continues a longer run, whose log has its own observers")
        if within is not None and math.isnan(within):
            raise FlowError(f"{self.name!r} was given a limit that is not a number")
        have: dict[type, object] = {}
        streams: dict[type, Stream[Any]] = {}
        for thing in given:
            value: object = thing
            if isinstance(thing, Stream):
                value = thing.value
                if value is None:
                    raise FlowError(f"{self.name!r} was given a stream that has not ended in a value")
                streams[type(value)] = thing
            if value is None:
                raise FlowError(f"{self.name!r} was given None; what is not known must not be given")
            if type(value) in have:
                raise FlowError(f"{self.name!r} was given two of {type(value).__name__}")
            have[type(value)] = value
        for need, i in self.plan.outside:
            if need not in have and self.steps[i].makes not in have:  # what is known is not made, and needs nothing
                raise FlowError(
                    f"{self.steps[i].name!r} needs a {need.__name__}, which no step makes and the run was not given"
                )
        whole = log is None
        log = Log(observers) if log is None else log
        return await Execution(self.name, self.plan, have, streams, within, log, since, whole=whole).run()

    @property
    def levels(self) -> list[list[str]]:
        """The steps in waves, as they would start if all were equally long."""
        sorter = order(self.plan)
        sorter.prepare()
        waves = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready())
            waves.append([self.steps[i].name for i in ready])
            sorter.done(*ready)
        return waves

    def draw(self, form: str = "text") -> str:
        """The flow as a picture: ``text`` (a line per wave) or ``mermaid`` (a dotted line is a stream)."""
        names = [s.name for s in self.steps]
        if form == "mermaid":
            lines = ["flowchart LR"]
            lines += [f'    {s.name}["{s.name}: {s.makes.__name__}"]' for s in self.steps]
            for i, name in enumerate(names):
                lines += [f"    {name} --> {names[j]}" for j in self.plan.feeds[i]]
                lines += [f"    {name} -.-> {names[j]}" for j in self.plan.streams[i]]
            return "\n".join(lines)
        if form != "text":
            raise FlowError(f"a flow can be drawn as 'text' or 'mermaid', not as {form!r}")
        made = {s.name: s for s in self.steps}
        lines = []
        for wave in self.levels:
            for name in wave:
                s = made[name]
                wires = [t.__name__ for t in s.needs.values()] + [f"~{t.__name__}" for t in s.inlets.values()]
                lines.append(f"{'' if name == wave[0] else '| '}{name}({', '.join(wires)}) -> {s.makes.__name__}")
            lines.append("  v")
        return "\n".join(lines[:-1])

    def _check_met(self, given: frozenset[type]) -> None:
        for need, i in self.plan.outside:
            if need not in given:
                raise FlowError(f"{self.steps[i].name!r} needs a {need.__name__}, which nothing makes")

    def __repr__(self) -> str:
        return f"Flow({self.name!r}: {' -> '.join(' | '.join(wave) for wave in self.levels)})"
