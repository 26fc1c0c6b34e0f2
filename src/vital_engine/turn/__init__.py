"""WHAT a turn does. The list of its modules is the order of a turn:

::

    ask      take the question in
    brief    choose who answers
    gather   tier 1: evidence | menu of tools | memory
    invoke   with consent, call the tools, all at once
    reply    put the prompt together, and let the model speak
    review   tier 2: citations | support | cost, while it speaks
    save     keep the turn
    prefill  before reply, where the services can: the model's server reads what is known of the prompt already
    budget   before reply, where the question has a cost limit: what the model's call may cost at most is reserved
    ahead    before reply, where the settings allow: the model starts on a guess of the rest

Steps are plain async functions made from the port that they lean on; nobody here knows who fulfils it.
May import: flow, ports, nouns, errors, notices, sentences.
"""

from .ask import ask
from .brief import briefing
from .gather import gather, recalling, retrieving, suggesting
from .invoke import invoking
from .reply import compose, drafted, recovered, replying
from .review import assessing, citing, review, sentences, tallying
from .save import Registered, Saved, registering, saving

EARLY = frozenset({"read_instructions", "read_conversation", "read_tools", "foresee", "ahead", "compare"})
"""Steps that add nothing to an answer: one that fails costs time at most, and degrades nothing."""

BEFOREHAND = ("prefill", "budget", "ahead")
ORDER = ("ask", "brief", "gather", "invoke", "reply", "review", "save")

__all__ = [
    "BEFOREHAND",
    "EARLY",
    "ORDER",
    "Registered",
    "Saved",
    "ask",
    "assessing",
    "briefing",
    "citing",
    "compose",
    "drafted",
    "gather",
    "invoking",
    "recalling",
    "recovered",
    "registering",
    "replying",
    "retrieving",
    "review",
    "saving",
    "sentences",
    "suggesting",
    "tallying",
]
