"""Language models. Each class implements :class:`vital_engine.ports.LLM`.

* :func:`open_llm` makes one from a setting. * :class:`Extractive` quotes the evidence, without a model;
:class:`Fallback` tries one model after another. * ``openai_compatible``: any OpenAI-compatible server. ``local``:
llama.cpp in this process. Both are imported when they are opened, so the SDK and the native library load only where
they are used. * ``chunks`` reads what such servers send; ``slots`` and ``reading_ahead`` let a server read the
beginning of a prompt early. * ``remembered``: answers that were given before.

May import nouns, ports, errors, text and caching; never turn, flow or modes.
"""

from vital_engine.text.tokens import estimate_tokens, estimate_usage

from .extractive import Extractive
from .factory import Fallback, open_llm
from .patience import Patience

__all__ = ["Extractive", "Fallback", "Patience", "estimate_tokens", "estimate_usage", "open_llm"]
