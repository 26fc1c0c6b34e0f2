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
    │   ├── Conflict                it was decided otherwise before
    │   ├── Expired                 the time to decide has passed
    │   ├── ConversationBusy        another turn of the conversation has not ended
    │   ├── OverCapacity            shed: too much is running
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
        ├── StepAbandoned           a step ignored its cancellation and was left behind
        └── CircuitOpen             not even tried

``code`` is stable and public: metrics, logs, HTTP bodies and receipts carry it. ``str(error)`` is for
operators; what a *user* may read is :attr:`VitalError.public`, which never holds foreign text.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CircuitOpen",
    "ConfigError",
    "Conflict",
    "ContextTooLong",
    "ConversationBusy",
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
    """The root: everything that this package raises on purpose."""

    code: ClassVar[str] = "error"
    public: ClassVar[str] = "Something went wrong in the engine."


class SetupError(VitalError):
    code = "setup"
    public = "The engine is not set up correctly."


class FlowError(SetupError, TypeError):
    code = "setup.flow"


class ConfigError(SetupError, ValueError):
    code = "setup.config"
    public = "A setting is unknown or impossible."


class TurnError(VitalError):
    code = "turn"
    public = "This question could not be answered."


class InvalidQuestion(TurnError, ValueError):
    code = "turn.invalid_question"
    public = "The question is empty, too long, or lacks an identity."


class NotFound(TurnError):
    code = "turn.not_found"
    public = "There is no such thing here."


class Refused(TurnError):
    code = "turn.refused"
    public = "This is not allowed."


class Conflict(TurnError):
    code = "turn.conflict"
    public = "This was decided otherwise before."


class Expired(TurnError):
    code = "turn.expired"
    public = "The time to decide this has passed."


class ConversationBusy(TurnError):
    """Nothing was begun: the message can be sent again."""

    code = "turn.conversation_busy"
    public = "This conversation is still busy with an earlier message, or waits for an approval."


class OverCapacity(TurnError):
    code = "turn.over_capacity"
    public = "The engine is busy. Please try again shortly."


class OutOfTime(TurnError):
    code = "turn.out_of_time"
    public = "The time for this question ran out."


class StepFailed(TurnError):
    code = "turn.step_failed"


class ServiceError(VitalError):
    """Someone outside failed us.

    :param service: a bounded name ("model", "store", ...), fit for a metric label.
    :param retryable: whether the same call may succeed if made again.
    """

    code = "service"
    public = "A service that the engine leans on failed."

    def __init__(self, message: str = "", *, service: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.service = service
        self.retryable = retryable


class ModelError(ServiceError):
    code = "model"
    public = "The language model failed."


class ModelUnavailable(ModelError):
    code = "model.unavailable"
    public = "The language model cannot be reached."


class RateLimited(ModelError):
    """The model server asked us to wait :attr:`retry_after` seconds (None: it did not say)."""

    code = "model.rate_limited"
    public = "The language model is busy."

    def __init__(self, message: str = "", *, retry_after: float | None = None, service: str = "model") -> None:
        super().__init__(message, service=service, retryable=True)
        self.retry_after = retry_after


class ContextTooLong(ModelError):
    code = "model.context_too_long"
    public = "The question and its evidence do not fit the language model."


class StreamBroken(ModelError):
    code = "model.stream_broken"
    public = "The answer was cut off before its end."


class RetrievalError(ServiceError):
    code = "retrieval"
    public = "The documents could not be searched."


class ToolError(ServiceError):
    code = "tool"
    public = "A tool failed."


class InvalidArguments(ToolError, ValueError):
    """:attr:`fields` names the arguments at fault; empty where the call as a whole is."""

    code = "tool.invalid_arguments"
    public = "A tool was asked with values that it cannot use."

    def __init__(self, message: str = "", *, fields: tuple[str, ...] = (), service: str = "tool") -> None:
        super().__init__(message, service=service)
        self.fields = fields


class ToolTimeout(ToolError, TimeoutError):
    code = "tool.timeout"
    public = "A tool took too long."


class ToolUnavailable(ToolError):
    """Not reachable, or it asked us to wait :attr:`retry_after` seconds (None: it did not say)."""

    code = "tool.unavailable"
    public = "A tool cannot be reached."

    def __init__(self, message: str = "", *, retry_after: float | None = None, service: str = "tool") -> None:
        super().__init__(message, service=service, retryable=True)
        self.retry_after = retry_after


class StoreError(ServiceError):
    code = "store"
    public = "The database failed."


class UnreadableDocument(ServiceError):
    code = "document.unreadable"
    public = "The document could not be read."


class WrongType(ServiceError, TypeError):
    code = "service.wrong_type"


class StepAbandoned(ServiceError):
    code = "service.abandoned"


class CircuitOpen(ServiceError):
    code = "service.circuit_open"
    public = "A service is failing and is not being asked for the moment."


class ForeignError(Exception):
    """An error that is none of ours and was read back: of it the name of its class was kept, as :attr:`code`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def code_of(error: BaseException) -> str:
    """The stable code of one of our errors, the class name of a foreign one. Never its text, which may hold anything."""
    return error.code if isinstance(error, VitalError | ForeignError) else type(error).__name__
