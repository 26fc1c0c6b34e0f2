"""Caches for the services: what was found before, and what another turn is finding at the moment.

::

    cache.py    LRUCache: bounded, least recently used first out. Cache: besides, one computation per key at a time
    cached.py   decorators of ports: CachedRetriever (evidence, by the version of the index), CachedToolSuggester (tool
                calls, by the definitions of the tools), CachedEmbedder (vectors of questions), KeptVectors (vectors of
                lists of texts, on disk)

May import: nouns, ports, errors. :mod:`vital_engine.engine` passes the function that starts tasks.
"""

from .cache import Cache, LRUCache, Start
from .cached import CachedEmbedder, CachedRetriever, CachedToolSuggester, KeptVectors

__all__ = ["Cache", "CachedEmbedder", "CachedRetriever", "CachedToolSuggester", "KeptVectors", "LRUCache", "Start"]
