"""Sentences, tokens and words: retrieval, answers and checks all read text in the same way.

::

    sentences   where sentences end, also while a text streams in
    tokens      how many tokens a text is, estimated where no server has counted them
    words       stop words, stems, and the terms of the index

May import nouns. Importing this package loads none of its parts.
"""
