"""The one database.

``embedded`` starts PostgreSQL from a wheel (``unix`` and ``address`` serve it), ``pool`` gives transactions bound to
a tenant, ``migrate`` brings the schema up to date, ``isolation`` refuses a database that would mix tenants, and
``failures`` turns the driver's errors into ours. May import nouns, ports and errors.
"""

from .migrate import migrate
from .pool import Connection, Store, open_store

__all__ = ["Connection", "Store", "migrate", "open_store"]
