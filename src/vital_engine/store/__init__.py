"""The database.

``turns`` stores and lists turns, ``conversations`` recalls what was said before, ``leases`` lets one turn of a
conversation run at a time, ``turn_vectors`` finds older turns by their meaning; ``approvals`` stores pauses;
``experts`` stores a tenant's own experts; ``knowledge`` stores documents, passages and both of their indexes. Below
them, ``pool`` gives transactions bound to a tenant, ``embedded`` starts PostgreSQL from a wheel, ``migrate`` has the
fixed names, brings the schema up to date and refuses a database that would mix tenants, ``failures`` turns the driver's
errors into ours, and ``plain`` replaces what a database cannot hold and puts nouns into their envelope.

May import: nouns, ports, errors, text.
"""

from .approvals import StoredApprovals
from .conversations import ConversationLine, Conversations, Summaries
from .experts import Experts
from .knowledge import Knowledge
from .leases import StoredConversationLock
from .migrate import migrate
from .pool import Connection, Store, open_store
from .turn_vectors import TurnVectors
from .turns import ApprovalLine, Listing, SaidTurn, StoredTurn, Talk, TurnLine, Turns

__all__ = [
    "ApprovalLine",
    "Connection",
    "ConversationLine",
    "Conversations",
    "Experts",
    "Knowledge",
    "Listing",
    "SaidTurn",
    "Store",
    "StoredApprovals",
    "StoredConversationLock",
    "StoredTurn",
    "Summaries",
    "Talk",
    "TurnLine",
    "TurnVectors",
    "Turns",
    "migrate",
    "open_store",
]
