"""The one database.

``turns``, ``conversations``, ``approvals`` and ``experts`` keep what their names say, ``leases`` who speaks in a
conversation, ``window`` how much of it is shown, ``summaries`` and ``turn_vectors`` what that has dropped, ``paused_state`` the form of a pause, ``listing`` what lists of approvals
and of a conversation's turns show; ``knowledge`` (with ``knowledge_reading`` and ``knowledge_writing``) documents,
passages and both of their indexes. Below them, ``pool`` gives transactions bound
to a tenant, ``embedded`` starts PostgreSQL from a wheel (``unix`` and ``address`` serve it), ``migrate`` brings the
schema up to date, ``isolation`` refuses a database that would mix tenants, ``failures`` turns the driver's errors
into ours and ``plain`` keeps out what a database cannot hold. May import nouns, ports and errors.
"""

from .approvals import StoredApprovals
from .conversations import ConversationLine, Conversations
from .experts import Experts
from .knowledge import Knowledge
from .leases import StoredConversationLock
from .listing import ApprovalLine, Listing, SaidTurn, Talk
from .migrate import migrate
from .pool import Connection, Store, open_store
from .summaries import Summaries
from .turn_vectors import TurnVectors
from .turns import StoredTurn, TurnLine, Turns

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
