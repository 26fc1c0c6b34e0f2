"""WHO does it: services, each the fulfilment of a port.

::

    retrieval    documents read, cut up, indexed and searched
    tools        typed functions that a question may call for
    experts      who answers; ranking: which of a few profiles a question is about
    llm          models, over HTTP, in this process, or none: the extractive answerer
    checks       what can be held against a quote by rule; support, citations, quality: what follows from that
    cost         what a turn has used, priced
    foresight    what a question will probably be, from the questions that were asked before
    caching      what was found before, for all of the others

May import nouns, ports, errors, notices and text; never turn, flow, modes or the store. What a service needs of the
store it says as a Protocol, and gets by its constructor. Importing this package loads none of them.
"""
