"""The fixtures of the graph."""

from graph_fixtures import drive, question, seed

__all__ = ["drive", "question", "seed"]
