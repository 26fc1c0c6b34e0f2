"""What a scripted step does: how long it takes, and how it ends."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from vital_engine.errors import ConfigError
from vital_engine.turn.plan import REPLY

BLOCKED_SECONDS = 0.5
"""How long a ``"block"`` holds its thread."""
WORDS = ("hang", "deaf", "block")
NOTHING: Any = object()


@dataclass(slots=True)
class Recorded:
    """One call of one port. ``start``, ``end``: seconds on the loop's clock; ``end`` None: it never came back."""

    port: str
    method: str
    arguments: dict[str, Any]
    start: float
    end: float | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class Act:
    """One step's script, read from what :func:`scripted` was given."""

    step: str
    seconds: float = 0.0
    value: Any = NOTHING
    said: str | None = None
    error: BaseException | None = None
    word: str = ""

    @classmethod
    def read(cls, step: str, script: Any) -> Act:
        """*script*: seconds, an exception, ``(seconds, exception)``, ``(seconds, value)``, or one of :data:`WORDS`."""
        match script:
            case str() if script in WORDS:
                return cls(step, word=script)
            case BaseException():
                return cls(step, error=script)
            case bool():
                pass
            case int() | float() if script >= 0:
                return cls(step, float(script))
            case (int() | float() as seconds, BaseException() as error) if seconds >= 0:
                return cls(step, float(seconds), error=error)
            case (int() | float() as seconds, str() as said, BaseException() as error) if step == REPLY.name:
                return cls(step, float(seconds), said=said, error=error)
            case (int() | float() as seconds, value) if seconds >= 0:
                return cls(step, float(seconds), value)
            case _:
                pass
        raise ConfigError(
            f"{step}={script!r}: give seconds, an exception, (seconds, exception), (seconds, value), or one of "
            + ", ".join(map(repr, WORDS))
        )

    async def play(self, seconds: float) -> None:
        """Take *seconds*, and fail if the script says so."""
        if self.word == "hang":
            await asyncio.get_running_loop().create_future()
        while self.word == "deaf":
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue
        if seconds:
            await asyncio.sleep(seconds)
        if self.error is not None:
            raise self.error


@dataclass(slots=True)
class Stage:
    """Where the scripted ports are made, and where their calls are written down."""

    calls: list[Recorded] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None

    def port(
        self,
        act: Act,
        method: Callable[..., Any],
        result: Callable[..., Any],
        *,
        seconds: Callable[[], float] | None = None,
    ) -> Callable[..., Awaitable[Any] | Any]:
        """A method with the signature of *method* that plays *act* and gives ``result(*args, **kwargs)``.

        ``"block"`` makes it a plain function, as a service that blocks would be: it sleeps in the thread that calls it.
        """
        signature = inspect.signature(method)
        name = method.__name__

        def write(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recorded:
            bound = signature.bind(None, *args, **kwargs).arguments
            bound.pop("self", None)
            call = Recorded(act.step, name, dict(bound), self.now())
            self.calls.append(call)
            return call

        def give(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return result(*args, **kwargs) if act.value is NOTHING else act.value

        def blocking(*args: Any, **kwargs: Any) -> Any:
            call = write(args, kwargs)
            time.sleep(BLOCKED_SECONDS)
            call.end = self.now()
            return give(args, kwargs)

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            self._loop = asyncio.get_running_loop()
            call = write(args, kwargs)
            try:
                await act.play(act.seconds if seconds is None else seconds())
            except BaseException as error:
                call.error = error
                raise
            finally:
                call.end = self.now()
            given = give(args, kwargs)
            return await given if inspect.isawaitable(given) else given

        return blocking if act.word == "block" else waiting

    def now(self) -> float:
        """The loop's clock, also from a thread."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread: the loop that was seen last
            if self._loop is None:
                raise
        return self._loop.time()
