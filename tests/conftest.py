"""What every test shares: one event loop kind. The database fixtures are in tests/store_fixtures.py."""

from __future__ import annotations

import pytest

pytest_plugins = ["store_fixtures"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
