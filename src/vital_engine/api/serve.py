"""``vital serve``: open the engine, listen, and on SIGTERM let turns end before going."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator
from types import FrameType
from typing import Final

import uvicorn
import uvloop
from fastapi import FastAPI

from vital_engine.engine import Engine
from vital_engine.errors import ConfigError
from vital_engine.flow import run_in_background
from vital_engine.monitoring import configure
from vital_engine.monitoring.logs import logger
from vital_engine.settings import Settings

from .app import create_app
from .backend import AppState
from .identity import is_loopback
from .running import DRAINING

FIRST_QUESTION: Final = "Do mutations causing low HDL-C promote increased carotid intima-media thickness?"
CONNECTIONS: Final = 1_000
"""Open at once; more are answered 503."""
KEEP_ALIVE_SECONDS: Final = 75
"""How long an idle connection stays: longer than proxies keep theirs, or they would send into a closing one."""
LAST_STREAMS_SECONDS: Final = 3
"""For streams to write their last event, once all turns have ended."""
SEND_BUFFER_BYTES: Final = 131_072
"""Of each connection, in the kernel, which doubles it: left to itself it grows to megabytes for a reader that takes
nothing, and a stream of tokens has no use for that."""
STALLED_SECONDS: Final = 45
"""On Linux the kernel itself ends a connection whose peer takes nothing for so long. Sooner than the application would
(``stalled_seconds``), because it can do so at once, and with all that was waiting to be sent."""

COLLECT_AFTER: Final = 50_000
"""Objects that are allocated until the garbage collector looks for circles among them (Python: 700). With 300 turns at once
it took 8 % of the CPU less, of 12 % that never looking would save."""

_log = logger("vital_engine.api")


def serve(settings: Settings) -> int:
    """Serve until a signal comes. Returns the exit code.

    :raises ConfigError: the address is not this machine's own, or is taken.
    :raises StoreError: the database cannot be started or reached.
    """
    if not is_loopback(settings.host):
        raise ConfigError(
            f"host = {settings.host!r}: without API keys the engine serves this machine alone. Listen on 127.0.0.1, "
            "and put a proxy that knows your users before it."
        )
    logs = configure(settings.log_format, settings.log_level)  # type: ignore[arg-type]
    try:
        with (
            listening(settings.host, settings.port) as listener,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(_serve(settings, listener))
    finally:
        logs.stop()
    return 0


async def _serve(settings: Settings, listener: socket.socket) -> None:
    async with Engine(settings) as engine:
        host, port = listener.getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        server = Server(create_app(engine), url=url)
        await engine.warm()
        gc.collect()
        gc.freeze()  # what a server has loaded by now stays: the collector need not look at it again
        gc.set_threshold(COLLECT_AFTER)
        loop = type(asyncio.get_running_loop()).__module__
        _log.info("serving", url=url, model=settings.model or "extractive", loop=loop, notes=list(engine.notes))
        await server.serve(sockets=[listener])
    _log.info("stopped")


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A bound socket, while the block runs.

    :param host: address.
    :param port: 0: any that is free.
    :raises ConfigError: the address is taken, or is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}") from error
        listener.setblocking(False)
        yield listener


class Server(uvicorn.Server):
    """uvicorn that drains: on the first signal it is not ready and takes no new turns, and while those that run end it
    goes on to answer, so that a balancer learns of it and readers can follow. On the second it stops them.
    """

    def __init__(self, app: FastAPI, *, url: str, quiet: bool = False) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=LAST_STREAMS_SECONDS,
            )
        )
        self._app_state: AppState = app.state.app_state
        self._url, self._quiet = url, quiet

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn. Afterwards the server is ready."""
        await super().startup(sockets)
        if self.started and not self._quiet:
            print(welcome(self._url), flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn. Running turns may end first."""
        running = self._app_state.running
        _log.info("draining", turns=len(running), seconds=self._app_state.limits.drain_seconds)
        stopped = await running.shutdown(within=self._app_state.limits.drain_seconds)
        if stopped:
            _log.warning("turns stopped", turns=stopped)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn. The first signal drains, the second stops."""
        running = self._app_state.running
        if self.should_exit:
            run_in_background(running.stop(DRAINING), name="stop all turns")
        running.draining = True
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """In the loop, and not raised again afterwards: to be told to stop, and to stop, is no failure."""
        loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
        for each in signals:
            loop.add_signal_handler(each, self.handle_exit, each, None)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)


def welcome(url: str) -> str:
    """Where it listens, and a first question as a command."""
    asked = f'{{"question": "{FIRST_QUESTION}"}}'
    return (
        f"VITAL Engine is listening on {url}\n"
        f'  vital ask "{FIRST_QUESTION}"\n'
        f"  curl -N {url}/v1/turns -H 'Content-Type: application/json' -H 'Accept: text/event-stream' -d '{asked}'"
    )
