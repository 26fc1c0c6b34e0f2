"""Finding the passages that answer a question: reading documents, cutting them up, and searching them.

``reading`` files to documents; ``chunking`` documents to chunks; ``embedder`` and ``minilm`` texts to vectors;
``sentence_vectors`` the sentences of a passage with theirs.
``ingest`` takes documents into the library, by the batch; ``library`` searches it: by words (``lexical``: BM25, what to
fetch for it, and the upkeep of its segments) and by vectors, both rankings joined by ``rerank``.
May import nouns, ports, errors, text and caching. Importing this package loads none of its parts.
"""
