"""Where a model server is and how it is told who we are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import openai

from vital_engine.errors import ConfigError

__all__ = ["AZURE", "LOOPBACK", "credentials", "split_address"]

AZURE = (".azure.com", ".azure-api.net", ".azure.us", ".azure.cn")
"""Hosts that take the key as ``api-key`` instead of as a bearer token."""

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def split_address(base_url: str) -> tuple[str, dict[str, str]]:
    """The address without its query, and the query."""
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"base_url must be an http(s) address such as https://host/v1, not {base_url!r}")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return urlunsplit((parts.scheme, parts.netloc, path, "", "")), dict(parse_qsl(parts.query))


def credentials(host: str, query: Mapping[str, str], api_key: str | None, more: Mapping[str, str]) -> dict[str, Any]:
    """Headers of every request. ``omit`` keeps out what the SDK would take from the environment."""
    azure = host.endswith(AZURE) or "api-version" in query
    headers: dict[str, Any] = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit}
    if api_key is None or azure:
        headers["Authorization"] = openai.omit
    if api_key is not None and azure:
        headers["api-key"] = api_key
    return {**headers, **more}
