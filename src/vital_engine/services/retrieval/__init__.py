"""Finding the passages that answer a question: reading documents, cutting them up, and searching them.

``reading`` files to documents; ``chunking`` documents to chunks; ``embedder`` and ``minilm`` texts to vectors, and
``hashed`` the same without weights, for tests; ``sentence_vectors`` the sentences of a passage with theirs.
``ingest`` takes documents into the library, by the ``batch``; ``library`` searches it: by words (``analysis`` text to
terms, ``lexical`` BM25, ``lexical_index`` what to fetch for it, ``upkeep`` its segments) and by vectors, both rankings
joined by ``fusion``.
May import nouns, ports, errors and sentences. Importing this package loads none of its parts.
"""
