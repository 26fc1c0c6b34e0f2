"""What was found before, and what is being found just now, for whoever asks the same.

::

    cache.py    LRUCache: bounded, least recently used first out. Cache: besides, one computation per key at a time
    cached.py   the ports that keep what they gave: CachedRetriever (evidence, under the version of the index),
                CachedSuggester (tool calls, under the definitions of the tools that exist), CachedEmbedder (vectors
                of single texts, which are questions), KeptVectors (of lists of texts, on disk)

May import: nouns, ports, errors. Tasks are begun by what :mod:`vital_engine.engine` hands in.
"""

from .cache import Cache, LRUCache, Start
from .cached import CachedEmbedder, CachedRetriever, CachedToolSuggester, KeptVectors

__all__ = ["Cache", "CachedEmbedder", "CachedRetriever", "CachedToolSuggester", "KeptVectors", "LRUCache", "Start"]
