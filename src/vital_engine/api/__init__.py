"""The service: turns over HTTP. Routes translate; what a turn is and how it runs they do not know.

::

    serve.py         serve(settings): open the engine, listen, drain on SIGTERM
    app.py           create_app(engine): the FastAPI application, and its description
    backend.py       Backend: the few things that the routes need of an engine; what all routes of one application share
    limits.py        every bound of the service, as one value; no request body larger than its route allows
    identity.py      who asks: the one place where a request becomes a tenant and a user
    problems.py      errors.py as HTTP: one table, one body
    schemas.py       what requests may say and responses say, as models
    running.py       the turns that run here, and those that ended a moment ago
    events.py        a turn's log as server-sent events
    turns.py         /v1/turns
    approvals.py     /v1/approvals: calls that wait for a person
    conversations.py /v1/conversations
    chat.py          /v1/chat/completions and /v1/models, as OpenAI's clients know them
    documents.py     /v1/documents
    operations.py    /v1/experts, /metrics, /livez, /readyz

Each resource has a module of its own, with its routes and the bodies that are its alone; what several share is in schemas.py.
A turn is not its request: it runs detached and writes a log, and a stream is a reader of that log.

May import: everything but the command line and the bench.
"""

from .app import create_app
from .backend import Backend
from .limits import ServerLimits

__all__ = ["Backend", "ServerLimits", "create_app"]
