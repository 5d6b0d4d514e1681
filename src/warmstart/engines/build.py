"""From a frozen prefix to the fastest engine that has proved itself on the user's pictures.

    candidates → (graph on disk) → proof on 16 pictures → the first that passes → engine

`resolve` decides and remembers the decision; `open_engine` compiles. They are apart because a run over known pictures needs the
decision (it is part of the key of stored rows) but neither an engine nor a picture.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart import machine
from warmstart.atomic import replaced_folder, write_text
from warmstart.engines import openvino, pytorch
from warmstart.engines.proof import compare
from warmstart.engines.protocol import Engine
from warmstart.errors import MachineError, UnknownNameError, UsageError, WarmstartError
from warmstart.records import EngineProof

if TYPE_CHECKING:
    import torch

ENGINES = ("auto", "openvino", "pytorch")
PRECISIONS = ("auto", "bf16", "f32")


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What an engine is to run: everything left of the cut, and what its rows look like."""

    name: str  # of the backbone, for people
    key: str  # hex, changes whenever the numbers would: weights, architecture, input size, normalisation, outputs
    size_px: int
    layout: tuple[tuple[str, int], ...]  # (tap name, width) in column order
    module: "Callable[[], torch.nn.Module]"  # builds it on first use: uint8 (B, 3, size_px, size_px) → float32 (B, D)


@dataclass(frozen=True, kw_only=True)
class ProofPictures:
    """The pictures to prove an engine on. ``key`` names them, so that a proof is found again without opening them."""

    key: str
    load: Callable[[], np.ndarray]  # uint8 (P, 3, S, S)


@dataclass(frozen=True, kw_only=True)
class Proven:
    """An engine and precision with its proof; ``notes`` say what was tried and failed."""

    engine: str
    precision: str
    proof: EngineProof
    notes: tuple[str, ...] = ()
    seconds: float = 0.0  # that converting, compiling and proving took, when it was done


def candidates(engine: str, precision: str) -> list[tuple[str, str]]:
    """(engine, precision) to try in this order. A failing bf16 is followed by float32, a failing OpenVINO by PyTorch float32."""
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, PRECISIONS)
    if engine == "auto":
        engine = "pytorch" if pytorch.has_cuda() else "openvino"
    native = openvino.precisions() if engine == "openvino" else pytorch.precisions()
    wanted = {"auto": native, "bf16": ("bf16", "f32"), "f32": ("f32",)}[precision]
    return list(dict.fromkeys([*((engine, p) for p in wanted), ("pytorch", "f32")]))


def resolve(prefix: Prefix, pictures: ProofPictures, *, engine: str = "auto", precision: str = "auto", folder: Path) -> Proven:
    """The first candidate that computes what PyTorch float32 computes on these pictures.

    The proof is remembered in ``folder`` under the prefix, the pictures, the request and OpenVINO's version. Raises UsageError when
    nothing passes (possible only with weights that overflow, since PyTorch float32 is among the candidates).
    """
    remembered = _folder(prefix, folder) / f"proof-{_short_hash(pictures.key, engine, precision)}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # not there, or not as we wrote it: proved again
        saved = json.loads(remembered.read_text("utf-8"))
        return Proven(**saved | {"proof": EngineProof(**saved["proof"]), "notes": tuple(saved["notes"])})

    begin = time.perf_counter()
    pixels = pictures.load()
    reference = _reference(prefix, pixels)
    notes: list[str] = []
    for name, bits in candidates(engine, precision):
        try:
            ready = open_engine(prefix, name, bits, folder=folder)
            computed = np.concatenate([rows for _, rows in ready.map([(None, pixels)])])
        except WarmstartError:
            raise
        except Exception as problem:  # converters and drivers raise whatever they like; the next candidate is the answer
            notes.append(f"{name} {bits} cannot run this network ({type(problem).__name__}: {_first_line(problem)})")
            continue
        proof = compare(computed, reference, prefix.layout, engine=name, precision=bits)
        if proof.passed:
            seconds = time.perf_counter() - begin
            proven = Proven(engine=name, precision=bits, proof=proof, notes=tuple(notes), seconds=seconds)
            with contextlib.suppress(OSError, MachineError):  # then it is proved again another time
                remembered.parent.mkdir(parents=True, exist_ok=True)
                write_text(remembered, json.dumps(asdict(proven)))
            return proven
        tap = max(proof.tap_errors, key=proof.tap_errors.__getitem__)
        notes.append(
            f"{name} {bits} failed its proof: tap {tap} is off by {proof.tap_errors[tap]:.2g}, {proof.limit:g} is allowed"
        )
    raise UsageError(
        "no engine computes what PyTorch float32 computes on these pictures: " + "; ".join(notes) + ". Do the weights hold NaN?"
    )


def open_engine(prefix: Prefix, engine: str, precision: str, *, folder: Path | None) -> Engine:
    """Compile for this machine. OpenVINO's graph is converted on first use and kept in ``folder``; later starts need no torch.

    Where nothing can be kept (no folder, a full disk, one that can only be read) the graph is converted each time.
    """
    if engine == "openvino":
        return openvino.OpenVinoEngine(_graph(prefix, folder), precision=precision)
    return pytorch.PyTorchEngine(prefix.module(), precision=precision, device=pytorch.best_device())


def has_graph(prefix_key: str, folder: Path) -> bool:
    """Whether `open_engine` can open OpenVINO without building the module."""
    return (_graph_folder(prefix_key, folder) / "graph.sha256").is_file()


def _reference(prefix: Prefix, pixels: np.ndarray) -> np.ndarray:
    """PyTorch float32 on the CPU in its plainest form: what every engine is compared with."""
    import torch

    machine.use_torch()
    with torch.inference_mode():
        rows: np.ndarray = prefix.module()(torch.from_numpy(pixels)).numpy()
    return rows


def _graph(prefix: Prefix, folder: Path | None) -> Any:
    """The file of the converted graph, checked against its digest; converted (again) when missing or damaged.

    The graph itself where it cannot be kept.
    """
    home = None if folder is None else _graph_folder(prefix.key, folder)
    if home is not None:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if (home / "graph.sha256").read_text("ascii") == _digest(home):
                return home / "graph.xml"
        with contextlib.suppress(OSError, MachineError):
            home.parent.mkdir(parents=True, exist_ok=True)
            with replaced_folder(home) as fresh:  # two processes may do this at once, with the same graph
                openvino.convert(prefix.module(), prefix.size_px, fresh / "graph.xml")
                (fresh / "graph.sha256").write_text(_digest(fresh), "ascii")
            return home / "graph.xml"
    return openvino.converted(prefix.module(), prefix.size_px)


def _graph_folder(prefix_key: str, folder: Path) -> Path:
    return folder / prefix_key[:16] / f"openvino-{openvino.import_openvino().__version__.split('-')[0]}"


def _folder(prefix: Prefix, folder: Path) -> Path:
    return _graph_folder(prefix.key, folder).parent


def _digest(home: Path) -> str:
    sha = hashlib.sha256()
    for name in ("graph.xml", "graph.bin"):
        path = home / name
        sha.update(path.read_bytes() if path.is_file() else b"missing")
    return sha.hexdigest()


def _short_hash(*parts: str) -> str:
    version = openvino.import_openvino().__version__
    return hashlib.sha256("\0".join((version, *parts)).encode()).hexdigest()[:16]


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or ["no message"])[0][:200]
