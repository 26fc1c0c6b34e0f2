"""Who asks: the one place where a request becomes a tenant and a user."""

from __future__ import annotations

import ipaddress
from typing import Final, Protocol
from urllib.parse import urlsplit

from fastapi import Request

from vital_engine.errors import Refused
from vital_engine.nouns import Scope

from .problems import Problem

TENANT: Final = "X-Vital-Tenant"
USER: Final = "X-Vital-User"
LONGEST: Final = 200
"""Characters of a tenant's or a user's name."""


class Identity(Protocol):
    """Tenant and user of a request. Refused if it may not be served."""

    async def __call__(self, request: Request) -> Scope: ...


class Development:
    """No key is needed on one's own machine; a request may say whose it is, else it is the deployment's own.

    Only for requests from this machine, to this machine by a name of its own, and not from a foreign web page: a
    browser lets any page send a form to a port on loopback, and by DNS rebinding any page can have a name that leads
    there (both seen against local model servers).
    """

    def __init__(self, tenant: str, user: str) -> None:
        self._tenant, self._user = tenant, user

    async def __call__(self, request: Request) -> Scope:
        headers, peer = request.headers, request.client
        if peer is not None and not is_loopback(peer.host):
            raise Refused("without keys only this machine is served")
        if not is_loopback(_hostname(f"//{headers.get('host', '')}")):
            raise Refused("the Host header names another machine")
        if (origin := headers.get("origin")) is not None and not is_loopback(_hostname(origin)):
            raise Refused("the request comes from a web page of another machine")
        return Scope(
            _name(TENANT, headers.get(TENANT, self._tenant)),
            _name(USER, headers.get(USER, self._user)),
        )


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address, is this machine by its own account."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _name(header: str, value: str) -> str:
    if not value.strip() or len(value) > LONGEST or not value.isprintable():
        raise Problem(422, "request.invalid", f"{header} must be a name of 1 to {LONGEST} printable characters.")
    return value
