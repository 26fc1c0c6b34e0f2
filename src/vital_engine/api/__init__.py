"""The HTTP service. Routes translate between HTTP and the engine; they do not know how a turn runs.

::

    serve.py         serve(settings): open the engine, listen, drain on SIGTERM
    app.py           create_app(engine): the FastAPI application, and its description
    backend.py       Backend: what the routes need of an engine; what all routes of one application share
    limits.py        every bound of the service, as one value; no request body larger than its route allows
    identity.py      makes a tenant and a user of a request
    problems.py      errors.py as HTTP: one table, one body
    schemas.py       models of requests and responses
    running.py       the turns that run here, and those that ended a moment ago
    events.py        a turn's log as server-sent events
    turns.py         /v1/turns
    approvals.py     /v1/approvals: calls that wait for a person
    conversations.py /v1/conversations
    chat.py          /v1/chat/completions and /v1/models, as OpenAI's clients know them
    documents.py     /v1/documents
    operations.py    /v1/experts, /metrics, /livez, /readyz

Each resource has a module of its own, with its routes and the bodies that only it uses; schemas.py has what several
share. A turn is not its request: it runs detached and writes a log, and a stream is a reader of that log.

May import: everything but the command line and the bench.
"""

from .app import create_app
from .backend import Backend
from .limits import ServerLimits

__all__ = ["Backend", "ServerLimits", "create_app"]
