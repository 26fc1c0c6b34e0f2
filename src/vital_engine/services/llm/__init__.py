"""Models: whoever answers a prompt. Each fulfils :class:`vital_engine.ports.LLM`.

* :func:`open_llm` makes one from a setting.
* :class:`Extractive` quotes the evidence, without a model; :class:`Fallback` asks one model after another.
* ``openai_compatible``: any OpenAI-compatible server. ``local``: llama.cpp in this process. Both are imported when
  they are opened: neither the SDK nor the native library is loaded for those who use another.

May import nouns, ports and errors; never turn, flow or modes.
"""

from vital_engine.tokens import estimate_tokens, estimate_usage

from .extractive import Extractive
from .factory import open_llm
from .fallback import Fallback
from .patience import Patience

__all__ = ["Extractive", "Fallback", "Patience", "estimate_tokens", "estimate_usage", "open_llm"]
