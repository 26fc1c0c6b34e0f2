"""Texts to unit vectors with all-MiniLM-L6-v2 (Reimers and Gurevych 2019, arXiv:1908.10084) on onnxruntime.

Each text is run by itself, and threads run several texts at once. So there is no padding, and a text's vector
does not depend on what else was in the batch: dynamic quantisation scales the activations of a whole batch by
its largest value, which would change the digits of every row. On two cores this is also the fastest way, as
nothing is computed for padding: bench/retrieval_embedder.py prints the figures.

Vectors are the same bit for bit on one machine and one version of onnxruntime. Between kinds of processor they
may differ in the last digits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort
from tokenizers import Encoding, Tokenizer

from vital_engine.errors import RetrievalError

from .minilm import REVISION, Weights, converted, find_weights

__all__ = ["MiniLM"]

# onnxruntime's errors share no base class but Exception
_ORT_ERRORS = (ort.Fail, ort.InvalidArgument, ort.InvalidGraph, ort.InvalidProtobuf, ort.NoSuchFile, ort.NotImplemented)
_RUN_ERRORS = (*_ORT_ERRORS, ort.RuntimeException)

Spans = Sequence[tuple[int, int]]

_INLINE = 3  # so few texts are done before a thread has started


class MiniLM:
    """The bundled embedder: fulfils :class:`vital_engine.ports.Embedder`.

    What lies behind the first ``max_tokens`` (256) word pieces of a text does not count towards its vector, as
    the model was trained so; :func:`.chunking.chunk` makes chunks that fit.

    :param weights: which encoder; by default the one that :func:`.minilm.find_weights` finds.
    :param precision: "int8" (23 MB, twice as fast) or "fp32".
    :param cache: the folder for the converted file; by default the user's cache folder.
    :param threads: texts at once; by default as many as there are processors for this process.
    :raises RetrievalError: no weights are installed, or they cannot be converted or loaded.
    :raises ConfigError: VITAL_EMBEDDER or *weights* names something that is not an encoder.
    """

    def __init__(
        self,
        weights: Weights | None = None,
        *,
        precision: str = "int8",
        cache: Path | None = None,
        threads: int | None = None,
    ) -> None:
        weights = weights or find_weights()
        path = converted(weights, precision=precision, cache=cache)
        options = onnxruntime.SessionOptions()
        # one thread within a text: short sequences gain nothing from more, and texts run beside each other
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _ORT_ERRORS as error:
            raise RetrievalError(
                f"{path} could not be loaded (if deleted, it is made anew): {error}", service="retrieval"
            ) from error
        self._tokenizer = Tokenizer.from_file(str(weights.tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(weights.max_tokens)
        self._threads = threads or _processors()
        self.model = f"{weights.name}/{precision}-{REVISION}"
        self.dimensions = weights.hidden
        self.max_tokens = weights.max_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit row per text, ``[n, dimensions]`` float32. Blocks; may be called from many threads."""
        found = np.empty((len(texts), self.dimensions), np.float32)
        encodings = self._tokenizer.encode_batch(list(texts))

        def one(row: int) -> None:
            found[row] = _unit(self._states(encodings[row]).mean(axis=0))

        # the longest first, so that no thread is left alone with a long one at the end
        order = sorted(range(len(texts)), key=lambda row: -len(encodings[row].ids))
        if len(texts) <= _INLINE or self._threads == 1:
            for row in order:
                one(row)
        else:
            with ThreadPoolExecutor(self._threads, thread_name_prefix="embed") as pool:
                for done in [pool.submit(one, row) for row in order]:
                    done.result()
        return found

    def embed_with_sentences(
        self, texts: Sequence[str], spans: Sequence[Spans]
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        """The rows of :meth:`embed`, and for each text one row per span ``(start, end)`` of *spans*.

        Each span is embedded by itself, which about triples the work of an abstract. Pooling a span's tokens out
        of the one pass over the whole text ("late chunking", Günther et al. 2024, arXiv:2409.04701) would be
        free, but finds the supporting sentence less often: hit@1 .41 against .57 on 209 pairs of a SciFact
        claim and an abstract (bench/retrieval_embedder.py).
        """
        if len(texts) != len(spans):
            raise ValueError(f"{len(texts)} texts with the spans of {len(spans)}")
        parts = [text[start:end] for text, of in zip(texts, spans, strict=True) for start, end in of]
        rows = self.embed([*texts, *parts])
        edges = np.cumsum([len(texts), *(len(of) for of in spans)])
        return rows[: len(texts)], [rows[a:b] for a, b in pairwise(edges)]

    def count(self, text: str) -> int:
        """How many word pieces the model would read of *text*, its two special ones included; at most max_tokens."""
        return len(self._tokenizer.encode(text).ids)

    def _states(self, encoding: Encoding) -> NDArray[np.float32]:
        try:
            states: NDArray[np.float32] = self._session.run(None, {"ids": np.array([encoding.ids], np.int64)})[0]
        except _RUN_ERRORS as error:
            raise RetrievalError(f"{self.model} failed: {error}", service="retrieval") from error
        return states


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """*vector* at length 1; the zero vector stays what it is."""
    length = float(np.linalg.norm(vector))
    return vector / np.float32(length) if length > 0 else vector


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):  # what a container may use, not what the machine has
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
