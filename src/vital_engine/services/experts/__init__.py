"""Experts: profiles in YAML, and the roster that picks one for a question.

``profiles`` (load, validate, dump; the shipped ones in ``shipped.yaml``), ``router`` (the port Roster).
May import nouns, ports, errors, caching and the ranking of short profiles; never turn or flow.
"""

from .profiles import dump_experts, load_experts, read_experts, shipped_experts
from .router import ExpertRouter

__all__ = ["ExpertRouter", "dump_experts", "load_experts", "read_experts", "shipped_experts"]
