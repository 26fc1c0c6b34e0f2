"""The one database.

``turns``, ``conversations`` and ``experts`` keep what their names say; ``knowledge`` (with ``knowledge_reading`` and
``knowledge_writing``) documents, passages and both of their indexes. Below them, ``pool`` gives transactions bound
to a tenant, ``embedded`` starts PostgreSQL from a wheel (``unix`` and ``address`` serve it), ``migrate`` brings the
schema up to date, ``isolation`` refuses a database that would mix tenants, ``failures`` turns the driver's errors
into ours and ``plain`` keeps out what a database cannot hold. May import nouns, ports and errors.
"""

from .conversations import ConversationLine, Conversations
from .experts import Experts
from .knowledge import Knowledge
from .migrate import migrate
from .pool import Connection, Store, open_store
from .turns import StoredTurn, TurnLine, Turns

__all__ = [
    "Connection",
    "ConversationLine",
    "Conversations",
    "Experts",
    "Knowledge",
    "Store",
    "StoredTurn",
    "TurnLine",
    "Turns",
    "migrate",
    "open_store",
]
