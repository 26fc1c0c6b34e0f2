"""The service: turns over HTTP. Routes translate; what a turn is and how it runs they do not know.

::

    serve.py         serve(settings): open the engine, listen, drain on SIGTERM
    app.py           create_app(engine): the FastAPI application
    engine.py        Engine: the few things that the routes need of an engine
    desk.py          what all routes of one application share
    limits.py        every bound of the service, as one value
    identity.py      who asks: the one place where a request becomes a tenant and a user
    problems.py      errors.py as HTTP: one table, one body
    body_limit.py    no request body larger than its route allows
    running.py       the turns that run here, and those that ended a moment ago
    events.py        a turn's log as server-sent events
    bodies.py        what requests may say, and what a turn looks like as JSON
    turns.py         /v1/turns
    approvals.py     /v1/approvals: calls that wait for a person
    conversations.py /v1/conversations
    chat.py          /v1/chat/completions and /v1/models, as OpenAI's clients know them
    chat_chunks.py   a turn's log as chunks of a chat completion
    documents.py     /v1/documents
    operations.py    /v1/experts, /metrics, /livez, /readyz

A turn is not its request: it runs detached and writes a log, and a stream is a reader of that log.
"""

from .app import create_app
from .engine import Engine
from .limits import ServerLimits

__all__ = ["Engine", "ServerLimits", "create_app"]
