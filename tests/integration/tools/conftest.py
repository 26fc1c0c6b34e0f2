"""A loopback server that answers with recorded responses, and can be told to misbehave.

The recordings have the documented form of NCBI's E-utilities and of openFDA; every identifier and title in them is made
up, and says so ("TEST").
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass
class Answered:
    """What is sent for one request."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


class Recorded:
    """Path -> the answers to its requests, one after the other; the last is repeated. ``asked`` is what came."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        self.answers: dict[str, list[Answered]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.gone = threading.Event()

    def on(self, path: str, body: Any, status: int = 200, delay: float = 0.0, **headers: str) -> None:
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.setdefault(path, []).append(Answered(sent, status, named, delay))


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    class Replies(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            split = urlsplit(self.path)
            replies.asked.append((split.path, {k: v[0] for k, v in parse_qs(split.query).items()}))
            waiting = replies.answers.get(split.path) or [Answered(b"{}", 404)]
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            replies.gone.wait(answer.delay)
            try:
                self.send_response(answer.status)
                for name, value in {"content-type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
            except ConnectionError:
                return  # the client did not wait

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Replies)
    server.daemon_threads = True
    replies = Recorded(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield replies
    replies.gone.set()
    server.shutdown()
    server.server_close()
    thread.join(60)


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"
