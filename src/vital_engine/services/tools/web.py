"""Asking a public web service: paced, bounded in time, tries and size, and honest when it is not there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Final

import httpx2

from vital_engine.errors import ConfigError, ToolError, ToolUnavailable
from vital_engine.nouns.codec import JSON

MAX_BYTES: Final = 4_000_000
"""Of one response; what is larger is refused, not cut: half a JSON document is none."""

MAX_WAIT: Final = 5.0
"""Seconds that a server's Retry-After is obeyed for; a longer one is handed to the caller as retry_after."""

_AGAIN: Final = frozenset({429, 500, 502, 503, 504})


class WebSource:
    """A JSON service under one base address. Redirects are not followed: the address that was agreed is the one asked.

    :param name: what errors and metrics call it.
    :param timeout: seconds for one try, from connecting to the last byte's read.
    :param tries: of one request in all; a try is repeated when the service is unreachable, busy or broken.
    :param per_second: requests begun per second at most.
    """

    def __init__(
        self, name: str, base_url: str, *, timeout: float = 5.0, tries: int = 2, per_second: float = 3.0
    ) -> None:
        if not base_url.startswith(("https://", "http://")):
            raise ConfigError(f"{name}: base_url must begin with https:// or http://, not {base_url!r}")
        if timeout <= 0 or tries < 1 or per_second <= 0:
            raise ConfigError(f"{name}: timeout and per_second must be above 0, tries at least 1")
        self.name = name
        self._base = base_url.rstrip("/")
        self._timeout, self._tries, self._gap = timeout, tries, 1.0 / per_second
        self._client: httpx2.AsyncClient | None = None
        self._free_at = 0.0

    async def get(self, path: str, parameters: Mapping[str, str]) -> tuple[int, Mapping[str, JSON]]:
        """Make one request.

        :returns: the status (200 to 299, or 404) and the JSON object.
        :raises ToolUnavailable: the service cannot be reached or stays busy.
        :raises ToolError: any other response.
        """
        last = ToolUnavailable(f"{self.name}: not reachable", service=self.name)
        for number in range(self._tries):
            await self._paced()
            try:
                status, headers, body = await self._once(path, parameters)
            except httpx2.TransportError as error:
                told = f"{self.name}: not reachable ({type(error).__name__})"
                last = ToolUnavailable(told, service=self.name)
                wait = self._gap
            else:
                if status not in _AGAIN:
                    return status, self._object(status, body)
                after = _seconds(headers.get("retry-after"))
                last = ToolUnavailable(f"{self.name}: it answered {status}", retry_after=after, service=self.name)
                wait = after if after is not None else self._gap * 2**number
            if wait > MAX_WAIT or number + 1 == self._tries:
                break
            await asyncio.sleep(wait)
        raise last

    async def aclose(self) -> None:
        """Close its connections. It may be used again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _once(self, path: str, parameters: Mapping[str, str]) -> tuple[int, httpx2.Headers, bytes]:
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=self._timeout, headers={"accept": "application/json"})
        async with self._client.stream("GET", f"{self._base}/{path}", params=dict(parameters)) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ToolError(f"{self.name}: an answer larger than {MAX_BYTES} bytes", service=self.name)
            return response.status_code, response.headers, bytes(body)

    async def _paced(self) -> None:
        """Wait until the next request may begin. The place in the row is taken before waiting, so that none is shared."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._free_at)
        self._free_at = start + self._gap
        if start > now:
            await asyncio.sleep(start - now)

    def _object(self, status: int, body: bytes) -> Mapping[str, JSON]:
        if not (200 <= status < 300 or status == 404):
            raise ToolError(f"{self.name}: it answered {status}", service=self.name)
        try:
            value = json.loads(body)
        except ValueError:
            raise ToolError(f"{self.name}: its answer ({status}) is not JSON", service=self.name) from None
        if not isinstance(value, dict):
            raise ToolError(f"{self.name}: its answer is not a JSON object", service=self.name)
        return value


def clean(text: object) -> str:
    """Foreign text on one line, without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; a date, or nonsense, is as if it had not been said."""
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None
