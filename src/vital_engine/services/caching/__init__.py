"""What was found before, and what is being found just now, for whoever asks the same.

::

    cache.py       Cache: bounded, least recently used first out, one computation per key at a time
    retrieval.py   CachedRetriever: evidence, under the version of the index
    menus.py       CachedSuggester: tool calls, under the definitions of the tools that exist
    embedding.py   CachedEmbedder: vectors of single texts, which are questions

May import: nouns, ports, errors. Tasks are begun by what :mod:`vital_engine.app` hands in.
"""

from .cache import Cache, Kept, Start
from .embedding import CachedEmbedder
from .retrieval import CachedRetriever
from .suggestions import CachedToolSuggester

__all__ = ["Cache", "CachedEmbedder", "CachedRetriever", "CachedToolSuggester", "Kept", "Start"]
