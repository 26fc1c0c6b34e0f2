"""The services that the engine comes with, one or more for each port.

::

    retrieval    read, cut, index and search documents
    tools        typed functions that a question may call for
    experts      choose who answers; ranking: which of a few profiles a question is about
    llm          models: over HTTP, in this process, or none (the extractive answerer)
    checks       rules that a quote is checked by; support, citations, quality: what follows from them
    cost         the price of a model call
    caching      what was found before, for all of the others

May import nouns, ports, errors and text; never turn, flow, modes or the store. A service declares what it needs of the
store as a Protocol and gets it by its constructor. Importing this package loads none of them.
"""
