"""The embedder with its real weights: right, stable, safe; and what is said when they are not there."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from vital_engine.errors import ConfigError, RetrievalError
from vital_engine.ports import Embedder
from vital_engine.services.retrieval import minilm as source
from vital_engine.services.retrieval.embedder import MiniLM
from vital_engine.services.retrieval.minilm import converted, find_weights
from vital_engine.testing import HashedEmbedder

CARD = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
# as the published model gives them in full precision
CARD_SIMILARITIES = [1.0, 0.695, 0.943, 0.257]
TEXTS = [*CARD, "Aspirin lowers fever.", "x", "", "The dose is 3.5 mg/kg. " * 60, "β-blockers in heart failure"]


def test_full_precision_gives_the_published_similarities(cache: Path) -> None:
    rows = MiniLM(precision="fp32", cache=cache).embed(CARD)
    assert rows[0] @ rows.T == pytest.approx(CARD_SIMILARITIES, abs=0.001)


def test_int8_stays_close_to_full_precision(minilm: MiniLM, cache: Path) -> None:
    rows, exact = minilm.embed(TEXTS), MiniLM(precision="fp32", cache=cache).embed(TEXTS)
    assert rows[0] @ rows[:4].T == pytest.approx(CARD_SIMILARITIES, abs=0.05)
    assert (rows * exact).sum(axis=1).min() > 0.96


def test_rows_are_unit_float32_and_fulfil_the_port(minilm: MiniLM) -> None:
    rows = minilm.embed(TEXTS)
    assert isinstance(minilm, Embedder) and minilm.dimensions == 384 and "int8" in minilm.model
    assert rows.dtype == np.float32 and rows.shape == (len(TEXTS), 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)
    assert minilm.embed([]).shape == (0, 384)


def test_a_vector_does_not_depend_on_its_batch(minilm: MiniLM) -> None:
    together = minilm.embed(TEXTS)
    alone = np.concatenate([minilm.embed([text]) for text in TEXTS])
    assert np.array_equal(together, alone)
    assert np.array_equal(together, minilm.embed(TEXTS[::-1])[::-1])


def test_many_threads_may_embed_at_once(minilm: MiniLM) -> None:
    expected = minilm.embed(TEXTS)
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(minilm.embed, [TEXTS] * 8):
            assert np.array_equal(rows, expected)


def test_sentences_get_the_vectors_that_they_have_alone(minilm: MiniLM) -> None:
    text = "Aspirin lowers fever. Placebo did not."
    whole, [first, none] = minilm.embed_with_sentences([text, "x"], [[(0, 21), (22, 38)], []])
    assert np.array_equal(whole, minilm.embed([text, "x"]))
    assert np.array_equal(first, minilm.embed(["Aspirin lowers fever.", "Placebo did not."]))
    assert none.shape == (0, 384)
    with pytest.raises(ValueError, match="spans"):
        minilm.embed_with_sentences([text], [])


def test_only_the_first_256_word_pieces_count(minilm: MiniLM) -> None:
    long = "fever " * 300
    assert minilm.count(long) == minilm.max_tokens == 256
    assert np.array_equal(minilm.embed([long]), minilm.embed([long + "and something else"]))


def test_several_may_convert_at_once_and_the_file_is_then_used_again(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: converted(find_weights(), cache=tmp_path), range(2))
    assert first == second and [p.name for p in tmp_path.iterdir()] == [first.name]
    made = first.stat().st_mtime_ns
    assert converted(find_weights(), cache=tmp_path).stat().st_mtime_ns == made


def test_a_broken_cache_file_is_named(minilm: MiniLM, cache: Path, tmp_path: Path) -> None:
    assert minilm.model.endswith(f"int8-{source.REVISION}")
    (tmp_path / converted(find_weights(), cache=cache).name).write_bytes(b"broken")
    with pytest.raises(RetrievalError, match="could not be loaded"):
        MiniLM(cache=tmp_path)


def test_no_weights_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "DISTRIBUTIONS", ("no-such-distribution", "pytest"))
    monkeypatch.delenv("VITAL_EMBEDDER", raising=False)
    with pytest.raises(RetrievalError, match=r"no-such-distribution is not installed; pytest holds no weights"):
        find_weights()


def test_other_weights_than_the_published_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SHA256", "0" * 64)
    monkeypatch.delenv("VITAL_EMBEDDER", raising=False)
    with pytest.raises(RetrievalError, match="not the published ones"):
        find_weights()


def test_a_folder_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(find_weights("").safetensors.parent, own)
    monkeypatch.setenv("VITAL_EMBEDDER", str(own))
    weights = find_weights()
    assert weights.safetensors == own / "model.safetensors" and weights.name.startswith("own@53aa51172d14")
    (own / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ConfigError, match="no readable encoder"):
        find_weights()
    monkeypatch.setenv("VITAL_EMBEDDER", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="none"):
        find_weights()


def test_an_unknown_precision_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="int4"):
        MiniLM(precision="int4", cache=tmp_path)


def test_the_hashed_embedder_is_the_same_everywhere_and_knows_shared_words() -> None:
    hashed = HashedEmbedder()
    rows = hashed.embed(["fevers of a child", "a child with fever", "hip fracture", "", "..."])
    assert isinstance(hashed, Embedder) and rows.shape == (5, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(5), abs=1e-6)
    assert rows[0] @ rows[1] > 0.5 > abs(rows[0] @ rows[2])
    # a frozen place and sign: the hash does not follow PYTHONHASHSEED
    assert int(np.argmax(np.abs(HashedEmbedder(64).embed(["fever"])))) == 40
