"""Test your own workflow: scripted services, and a clock that does not make you wait.

::

    scripted.py   scripted(retrieve=0.5, reply=1.5, cite="hang", ...): a deterministic service for every port
    pauses.py     approvals and conversations in memory: modes 1 and 3 pause, and resume() continues
    hashed.py     an embedder without weights, for tests of search

    services = scripted(retrieve=0.5, reply=1.5)
    answer = run_virtual(Mode2AutomaticWorkflow(services).execute(Question("...", tenant="t1", user="u1")))

May import: services, and all that lies below them.
"""

from vital_engine.flow import Deadlock, run_virtual

from .hashed import HashedEmbedder
from .pauses import MemoryApprovals, MemoryConversationLock
from .scripted import Recorded, ScriptedServices, scripted

__all__ = [
    "Deadlock",
    "HashedEmbedder",
    "MemoryApprovals",
    "MemoryConversationLock",
    "Recorded",
    "ScriptedServices",
    "run_virtual",
    "scripted",
]
