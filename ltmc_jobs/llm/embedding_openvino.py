"""all-MiniLM-L6-v2 on OpenVINO: bf16 where the CPU computes in it, else fp32; no torch, nothing fetched."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.llm import minilm

BUDGET_TOKENS = 512  # rows times width of a batch: larger ones leave the CPU's cache and are slower
STEP_TOKENS = 16  # widths are multiples of it: each shape seen costs memory, each padded token time
WINDOW_TEXTS = 512  # tokenized at a time, so that a long list costs no more memory than this
SEPARATOR = 102  # the mark that closes every text
FILES = ("model.xml", "model.bin")
UNFINISHED, UNFINISHED_SECONDS = ".minilm-", 3600


class OpenvinoEmbedder:
    """MiniLM in this process; the mapped weights are shared with every other process of this machine."""

    model = minilm.MODEL
    dimension = minilm.DIMENSION

    def __init__(self, directory: Path, *, threads: int = 1, precision: str | None = None) -> None:
        """Load the prepared model under `directory` (made there if missing, ~1 s); precision "bf16" or "f32"."""
        runtime = _import_openvino()
        core = runtime.Core()
        native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.precision = precision or ("bf16" if native else "f32")
        self._tokenizer = minilm.tokenizer()
        file = prepare(directory, halved=self.precision == "bf16")
        self._request = core.compile_model(file, "CPU", _options(self.precision, threads)).create_infer_request()
        self._lock = threading.Lock()  # a request takes one call at a time

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encode texts, shape (n, 384), unit norm, in their order; a repeated text is computed once."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        distinct = list(places)
        vectors = np.empty((len(distinct), self.dimension), np.float32)
        for start in range(0, len(distinct), WINDOW_TEXTS):
            window = distinct[start : start + WINDOW_TEXTS]
            self._encode_window([self._tokens(text) for text in window], vectors[start : start + len(window)])
        return vectors[[places[text] for text in texts]] if len(distinct) < len(texts) else vectors

    def _tokens(self, text: str) -> list[int]:
        # One text a call: the batch call starts threads of its own, which a later fork would lose.
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids if len(ids) <= minilm.LIMIT_TOKENS else [*ids[: minilm.LIMIT_TOKENS - 1], SEPARATOR]

    def _encode_window(self, tokens: list[list[int]], vectors: npt.NDArray[np.float32]) -> None:
        for width, rows in batches([len(ids) for ids in tokens]):
            ids, mask = np.zeros((len(rows), width), np.int32), np.zeros((len(rows), width), np.float32)
            for row, place in enumerate(rows):
                length = len(tokens[place])
                ids[row, :length] = tokens[place]
                mask[row, :length] = 1
            with self._lock:
                vectors[rows] = self._request.infer([ids, mask], share_inputs=True, share_outputs=True)[0]


def batches(lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Group texts by padded width, shortest first: (width, places); rows are powers of two, to keep shapes few."""
    widths: defaultdict[int, list[int]] = defaultdict(list)
    for place, length in enumerate(lengths):
        widths[-(-length // STEP_TOKENS) * STEP_TOKENS].append(place)
    for width, places in sorted(widths.items()):
        start, most = 0, max(1, BUDGET_TOKENS // width)
        while start < len(places):
            rows = 1 << (min(most, len(places) - start).bit_length() - 1)
            yield width, places[start : start + rows]
            start += rows


def prepare(directory: Path, *, halved: bool, source: Path | None = None) -> Path:
    """Return the graph file under `directory`, writing it (owner-only) from the package's weights if need be.

    `halved` keeps the weights in 16 bits: half the file to map, and bf16 rounds them further anyway.
    A prepared copy is used if its files have their recorded digests; Misconfigured if neither it nor a new one will do.
    """
    kind = "16" if halved else "32"
    target = directory / f"minilm-{minilm.DIGESTS[minilm.WEIGHTS_FILE][:16]}-{minilm.GRAPH_VERSION}-{kind}"
    if not _intact(target):
        try:
            _write(target, halved, source or minilm.folder())
        except OSError as error:
            raise Misconfigured(f"cannot write the embedding model under {directory}: {error.strerror}") from error
    return target / FILES[0]


def _intact(target: Path) -> bool:
    try:
        recorded = json.loads((target / "digests.json").read_text())
        return all(recorded[name] == _digest(target / name) for name in FILES)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write(target: Path, halved: bool, source: Path) -> None:
    """Write beside the target and rename: of two processes at once, the second finds the first one's copy."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(target.parent)
    written = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=target.parent))
    try:
        network = minilm.graph(minilm.read_weights(source))
        _import_openvino().save_model(network, written / FILES[0], compress_to_fp16=halved)
        (written / "digests.json").write_text(json.dumps({name: _digest(written / name) for name in FILES}))
        for file in written.iterdir():
            file.chmod(0o600)
        _publish(written, target)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _publish(written: Path, target: Path) -> None:
    try:
        written.rename(target)
    except OSError:
        if _intact(target):
            return
        # A damaged copy is moved away, not emptied in place: another process may have it mapped.
        damaged = written.with_name(written.name + "-damaged")
        with suppress(FileNotFoundError):
            target.rename(damaged)
        written.rename(target)
        shutil.rmtree(damaged, ignore_errors=True)


def _sweep(directory: Path) -> None:
    """Remove what a killed process left half written."""
    for left in directory.glob(UNFINISHED + "*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > UNFINISHED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)


def _options(precision: str, threads: int) -> dict[str, Any]:
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,  # several workers would pin themselves to the same core
        "CPU_RUNTIME_CACHE_CAPACITY": 16,  # prepared shapes; 5,000 by default, 0.6 MB each
    }


def _import_openvino() -> Any:
    """openvino without its converter, which reports its own import to an analytics server and loads 200 modules."""
    if find_spec("openvino") is None:
        raise Misconfigured("openvino is not installed: pip install openvino")
    converter = "openvino.tools.ovc"
    if "openvino" not in sys.modules and converter not in sys.modules:
        sys.modules[converter] = None  # type: ignore[assignment]
        try:
            import openvino
        finally:
            del sys.modules[converter]
    import openvino

    return openvino
