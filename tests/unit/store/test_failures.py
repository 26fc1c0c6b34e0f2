"""The driver's errors become ours, and say whether trying again may help."""

from __future__ import annotations

import psycopg
import psycopg_pool
import pytest
from psycopg import errors

from vital_engine.errors import NotFound, StoreError
from vital_engine.store.failures import typed_errors


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (errors.SerializationFailure(), True),
        (errors.DeadlockDetected(), True),
        (errors.LockNotAvailable(), True),
        (errors.QueryCanceled(), True),
        (errors.AdminShutdown(), True),
        (errors.TooManyConnections(), True),
        (psycopg.OperationalError("the connection is lost"), True),
        (psycopg_pool.PoolTimeout("no connection"), True),
        (errors.UniqueViolation(), False),
        (errors.InsufficientPrivilege(), False),
        (errors.UndefinedTable(), False),
        (psycopg_pool.PoolClosed("closed"), False),
    ],
)
def test_each_becomes_a_store_error(error: psycopg.Error, retryable: bool) -> None:
    with pytest.raises(StoreError) as caught, typed_errors():
        raise error
    assert caught.value.retryable is retryable
    assert caught.value.service == "store"
    assert caught.value.__cause__ is error


def test_a_text_that_cannot_be_sent_is_a_store_error() -> None:
    with pytest.raises(StoreError, match="cannot be stored"), typed_errors():
        "\ud800".encode()


def test_other_errors_pass() -> None:
    with pytest.raises(NotFound), typed_errors():
        raise NotFound("x")
