"""Every error of the package, drawn once, by who must act.

::

    VitalError
    ├── SetupError               wrong before anything ran: the programmer's
    │   ├── FlowError               steps do not fit together                (also TypeError)
    │   └── ConfigError             an unknown or impossible setting         (also ValueError)
    ├── TurnError                this turn could not be completed: the caller's
    │   ├── InvalidQuestion         empty, too long, or without an identity  (also ValueError)
    │   ├── NotFound                no such run, document, expert or conversation
    │   ├── Refused                 the key, the tenant or a limit forbids it
│   │   └── CostLimit              the question's cost limit does not pay for an answer
    │   ├── Conflict                it was decided otherwise before
    │   ├── Expired                 the time to decide has passed
    │   ├── ConversationBusy        another turn of the conversation has not ended
    │   ├── OverCapacity            too much is running
    │   ├── OutOfTime               the turn's deadline passed
    │   └── StepFailed              a value was asked for that was never made
    └── ServiceError             someone outside failed us; has .service, .retryable
        ├── ModelError
        │   ├── ModelUnavailable    not reachable, or it answered 5xx
        │   ├── RateLimited         it asked us to wait; has .retry_after
        │   ├── ContextTooLong      the prompt does not fit the model
        │   └── StreamBroken        the stream ended before the model did
        ├── RetrievalError
        ├── ToolError
        │   ├── InvalidArguments    a tool was asked with arguments that it refuses            (also ValueError)
        │   ├── ToolTimeout         no result within the tool's own limit        (also TimeoutError)
        │   └── ToolUnavailable     what the tool leans on is not reachable, or asked us to wait
        ├── StoreError
        ├── UnreadableDocument      a document could not be read, or is too large
        ├── WrongType               a service gave something other than it promised (also TypeError)
        └── StepAbandoned           a step ignored its cancellation and was left behind

``code`` is stable and public: metrics, logs, HTTP bodies and receipts carry it. ``str(error)`` is for
operators; what a *user* may read is :attr:`VitalError.public`, which never holds foreign text.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ConfigError",
    "Conflict",
    "ContextTooLong",
    "ConversationBusy",
    "CostLimit",
    "Expired",
    "FlowError",
    "InvalidArguments",
    "InvalidQuestion",
    "ModelError",
    "ModelUnavailable",
    "NotFound",
    "OutOfTime",
    "OverCapacity",
    "RateLimited",
    "Refused",
    "RetrievalError",
    "ServiceError",
    "SetupError",
    "StepAbandoned",
    "StepFailed",
    "StoreError",
    "StreamBroken",
    "ToolError",
    "ToolTimeout",
    "ToolUnavailable",
    "TurnError",
    "UnreadableDocument",
    "VitalError",
    "WrongType",
]


class VitalError(Exception):
    """The root of all errors that this package raises on purpose.

    ``code``: stable and public. ``public``: a sentence that you may show to a user; it never contains foreign text.
    """

    code: ClassVar[str] = "error"
    public: ClassVar[str] = "Something went wrong in the engine."


class SetupError(VitalError):
    """The engine is set up wrongly. The programmer or operator must correct it before anything can run."""

    code = "setup"
    public = "The engine is not set up correctly."


class FlowError(SetupError, TypeError):
    """The steps of a flow do not fit together. Also a :class:`TypeError`."""

    code = "setup.flow"


class ConfigError(SetupError, ValueError):
    """A setting is unknown or has an impossible value. Also a :class:`ValueError`."""

    code = "setup.config"
    public = "A setting is unknown or impossible."


class TurnError(VitalError):
    """This turn could not be completed. The caller can act on it."""

    code = "turn"
    public = "This question could not be answered."


class InvalidQuestion(TurnError, ValueError):
    """The question is empty, too long, has impossible limits or lacks an identity. Also a :class:`ValueError`."""

    code = "turn.invalid_question"
    public = "The question is empty, too long, or lacks an identity."


class NotFound(TurnError):
    """There is no such run, document, expert or conversation, or it belongs to another tenant or user."""

    code = "turn.not_found"
    public = "There is no such thing here."


class Refused(TurnError):
    """The key, the tenant or a limit does not permit this."""

    code = "turn.refused"
    public = "This is not allowed."


class CostLimit(Refused):
    """The model was not called."""

    code = "turn.cost_limit"
    public = "An answer would cost more than the limit of this question allows."


class Conflict(TurnError):
    """The approval was decided differently before, or another process continues the turn."""

    code = "turn.conflict"
    public = "This was decided otherwise before."


class Expired(TurnError):
    """The time to decide on the approval has passed."""

    code = "turn.expired"
    public = "The time to decide this has passed."


class ConversationBusy(TurnError):
    """Another turn of the conversation has not ended. Nothing was started: you can send the message again."""

    code = "turn.conversation_busy"
    public = "This conversation is still busy with an earlier message, or waits for an approval."


class OverCapacity(TurnError):
    """Too many turns are running. You can try again shortly."""

    code = "turn.over_capacity"
    public = "The engine is busy. Please try again shortly."


class OutOfTime(TurnError):
    """The turn reached its deadline."""

    code = "turn.out_of_time"
    public = "The time for this question ran out."


class StepFailed(TurnError):
    """A value was read that its step never made."""

    code = "turn.step_failed"


class ServiceError(VitalError):
    """A service outside of the engine failed.

    :param message: for operators; may contain foreign text.
    :param service: a name from a bounded set ("model", "store", ...), fit for a metric label.
    :param retryable: whether the same call may succeed if it is made again.
    """

    code = "service"
    public = "A service that the engine leans on failed."

    def __init__(self, message: str = "", *, service: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.service = service
        self.retryable = retryable


class ModelError(ServiceError):
    """The language model failed."""

    code = "model"
    public = "The language model failed."


class ModelUnavailable(ModelError):
    """The model server cannot be reached, or it answered with a 5xx status."""

    code = "model.unavailable"
    public = "The language model cannot be reached."


class RateLimited(ModelError):
    """The model server asks the engine to wait.

    :param message: for operators.
    :param retry_after: seconds to wait; None: the server did not say.
    :param service: see :class:`ServiceError`.
    """

    code = "model.rate_limited"
    public = "The language model is busy."

    def __init__(self, message: str = "", *, retry_after: float | None = None, service: str = "model") -> None:
        super().__init__(message, service=service, retryable=True)
        self.retry_after = retry_after


class ContextTooLong(ModelError):
    """The prompt does not fit the model's context window."""

    code = "model.context_too_long"
    public = "The question and its evidence do not fit the language model."


class StreamBroken(ModelError):
    """The model's stream ended before the model had finished."""

    code = "model.stream_broken"
    public = "The answer was cut off before its end."


class RetrievalError(ServiceError):
    """The documents could not be searched."""

    code = "retrieval"
    public = "The documents could not be searched."


class ToolError(ServiceError):
    """A tool failed."""

    code = "tool"
    public = "A tool failed."


class InvalidArguments(ToolError, ValueError):
    """A tool does not accept the arguments of a call. Also a :class:`ValueError`.

    :param message: for operators.
    :param fields: names of the arguments at fault; empty if the call as a whole is at fault.
    :param service: see :class:`ServiceError`.
    """

    code = "tool.invalid_arguments"
    public = "A tool was asked with values that it cannot use."

    def __init__(self, message: str = "", *, fields: tuple[str, ...] = (), service: str = "tool") -> None:
        super().__init__(message, service=service)
        self.fields = fields


class ToolTimeout(ToolError, TimeoutError):
    """The tool gave no result within its own time limit. Also a :class:`TimeoutError`."""

    code = "tool.timeout"
    public = "A tool took too long."


class ToolUnavailable(ToolError):
    """What the tool depends on cannot be reached, or asks the engine to wait.

    :param message: for operators.
    :param retry_after: seconds to wait; None: unknown.
    :param service: see :class:`ServiceError`.
    """

    code = "tool.unavailable"
    public = "A tool cannot be reached."

    def __init__(self, message: str = "", *, retry_after: float | None = None, service: str = "tool") -> None:
        super().__init__(message, service=service, retryable=True)
        self.retry_after = retry_after


class StoreError(ServiceError):
    """The database failed."""

    code = "store"
    public = "The database failed."


class UnreadableDocument(ServiceError):
    """A document could not be read, or it is too large."""

    code = "document.unreadable"
    public = "The document could not be read."


class WrongType(ServiceError, TypeError):
    """A service returned something other than its port promises. Also a :class:`TypeError`."""

    code = "service.wrong_type"


class StepAbandoned(ServiceError):
    """A step ignored its cancellation; the engine goes on without it."""

    code = "service.abandoned"


class ForeignError(Exception):
    """An error that is none of ours and was read back: of it the name of its class was kept, as :attr:`code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def code_of(error: BaseException) -> str:
    """The stable code of *error*.

    :param error: any exception.
    :returns: ``error.code`` of an error of this package, the class name of any other. Never the error's text.
    """
    return error.code if isinstance(error, VitalError | ForeignError) else type(error).__name__
