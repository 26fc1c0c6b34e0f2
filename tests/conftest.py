"""What every test shares: one event loop kind, one hypothesis profile, and a success rate that begins with it.

The database fixtures are in tests/store_fixtures.py.
"""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings

from vital_engine.monitoring.track import tier_series

pytest_plugins = ["store_fixtures"]

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what it puts in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples in every run, and no limit on the wall for any of them: a busy machine is no fault of the code.
# ``--hypothesis-profile explore`` draws new examples instead.
settings.register_profile(
    "tests", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("tests"), derandomize=False)
settings.load_profile("tests")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def own_success_rate() -> None:
    """The success rate is over the latest turns of the process: those of other tests do not count.

    All other metrics only add up. A test looks at how much they grow.
    """
    tier_series.cache_clear()
