"""What psycopg raises, as this package's own errors: the only place that knows both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import psycopg_pool

from vital_engine.errors import StoreError

__all__ = ["typed_errors"]

RETRYABLE_CLASSES = frozenset(
    {
        "08",  # connection exception
        "40",  # transaction rollback: serialization failure, deadlock
        "53",  # insufficient resources: too many connections, disk or memory full
        "55",  # object not in the needed state: a lock that was not to be had
        "57",  # operator intervention: statement timeout, shutdown, starting up
    }
)

QUOTING_CLASS = "22"  # data exception: its message quotes the value, which belongs to a user


@contextlib.contextmanager
def typed_errors() -> Iterator[None]:
    """Turn each error of the database into a StoreError; ``retryable`` if the same transaction may succeed later.

    A lost connection is retryable although the commit may have happened: what this package writes can be written again.
    The message holds the SQLSTATE and, if it quotes no value, the server's primary message; never its DETAIL, which
    quotes rows. The caller decides whether to repeat the transaction.

    :raises StoreError: the database failed.
    """
    try:
        yield
    except psycopg_pool.PoolClosed as error:
        raise StoreError("the store is closed", service="store") from error
    except UnicodeEncodeError as error:
        raise StoreError("a text holds characters that cannot be stored", service="store") from error
    except psycopg.Error as error:
        state = error.sqlstate
        lost = state is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        said = error.diag.message_primary or (str(error) if lost else "")
        said = "" if (state or "").startswith(QUOTING_CLASS) else said
        message = f"{type(error).__name__} ({state or 'no answer'}): {said}".rstrip(": ")
        raise StoreError(message, service="store", retryable=lost or (state or "")[:2] in RETRYABLE_CLASSES) from error
