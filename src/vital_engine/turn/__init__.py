"""What a turn does.

::

    plan     the table of steps: what each makes, in which tier, what happens when it fails
    ask      check the question
    brief    choose the expert
    gather   tier 1: evidence | suggested tool calls | memory
    invoke   call the approved tools, all at once
    reply    put the prompt together, and stream the model's answer
    review   tier 2: citations | support | cost, while the answer streams
    save     store the turn
    early    before reply, if the model can: its server reads what is known of the prompt already
    budget   before reply, if the question has a cost limit: reserve what the model's call may cost at most
    hedged   which steps may be sent twice, and to which service

Steps are plain async functions: their first parameters are the ports that they use, bound by ``functools.partial``.

May import: flow, ports, nouns, text, errors.
"""

from .ask import ask
from .brief import brief
from .early import load_of, prefill
from .gather import gather, recall, retrieve, suggest
from .hedged import Hedges
from .invoke import invoke
from .plan import EARLY, STEPS, TIERS, PlannedStep
from .reply import compose, drafted, recovered, reply
from .review import assess, cite, review, sentences, tally
from .save import register, save

ORDER = ("ask", "brief", "gather", "invoke", "reply", "review", "save")
"""The modules, in the order of a turn."""
BESIDE = ("plan", "early", "budget", "hedged")

__all__ = [
    "BESIDE",
    "EARLY",
    "ORDER",
    "STEPS",
    "TIERS",
    "Hedges",
    "PlannedStep",
    "ask",
    "assess",
    "brief",
    "cite",
    "compose",
    "drafted",
    "gather",
    "invoke",
    "load_of",
    "prefill",
    "recall",
    "recovered",
    "register",
    "reply",
    "retrieve",
    "review",
    "save",
    "sentences",
    "suggest",
    "tally",
]
