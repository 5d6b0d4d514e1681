"""From a frozen prefix to the fastest engine that has proved itself on the user's pictures.

    candidates → (graph on disk) → proof on 16 pictures → the first that passes → engine

`resolve` decides and remembers the decision; `open_engine` compiles. They are apart because a run over known pictures needs the
decision (it is part of the key of stored rows) but neither an engine nor a picture.

    <folder>/<16 digits of the prefix's key>/openvino-<version>-<8 digits>/   graph.xml  graph.bin  graph.sha256
                                             proof-<16 digits>.json

Both are named after all that they hang on and sealed with that name: what was damaged, edited or put there from elsewhere is made again.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warmstart import machine
from warmstart.atomic import replaced_folder, write_text
from warmstart.engines import openvino, pytorch
from warmstart.engines.proof import LIMITS, compare
from warmstart.engines.protocol import Engine
from warmstart.errors import MachineError, UnknownNameError, UsageError, WarmstartError
from warmstart.records import EngineProof, json_digest

if TYPE_CHECKING:
    import torch

ENGINES = ("auto", "openvino", "pytorch")
PRECISIONS = ("auto", "bf16", "f32")

# Raise it when the module that is converted, the conversion, or what a proof means changes without a change of the prefix's key. 1 was
# named after a digest that a model folder could claim.
FORMAT = 2
LIBRARIES = ("openvino", "torch", "torchvision", "timm")  # whose versions decide what a graph is and what engines compute


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What an engine is to run: everything left of the cut, and what its rows look like."""

    name: str  # of the backbone, for people
    key: str  # hex, changes whenever the numbers would: weights, architecture, input size, normalisation, outputs
    size_px: int
    layout: tuple[tuple[str, int], ...]  # (tap name, width) in column order
    # Builds it on first use: uint8 (B, 3, size_px, size_px) → float32 (B, D). Two prefixes of one key are equal however they are built.
    module: "Callable[[], torch.nn.Module]" = field(compare=False)


@dataclass(frozen=True, kw_only=True)
class ProofPictures:
    """The pictures to prove an engine on. ``key`` names their pixels, so that a proof is found again without opening them."""

    key: str
    load: Callable[[], np.ndarray]  # uint8 (P, 3, S, S)
    lasting: Callable[[], bool] = lambda: True  # asked after `load`: whether it found what it will find the next time


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

    The proof is remembered in ``folder`` under all that it hangs on, unless something failed that need not fail the next time (no memory,
    no room, a picture out of reach). Raises UsageError when nothing passes (possible only with weights that overflow, since PyTorch
    float32 is among the candidates).
    """
    to_try = candidates(engine, precision)
    question = _proof_key(prefix, pictures, to_try)
    path = _folder(prefix, folder) / f"proof-{question[:16]}.json"
    remembered = _read_proof(path, question, to_try)
    if remembered is not None:
        return remembered

    begin = time.perf_counter()
    pixels = pictures.load()
    lasting = pictures.lasting()
    reference = _reference(prefix, pixels)
    notes: list[str] = []
    for name, bits in to_try:
        try:
            ready = open_engine(prefix, name, bits, folder=folder)
            computed = np.concatenate([rows for _, rows in ready.map([(None, pixels)])])
        except WarmstartError:
            raise
        except Exception as problem:  # converters and drivers raise whatever they like; the next candidate is the answer
            notes.append(f"{name} {bits} cannot run this network ({type(problem).__name__}: {_first_line(problem)})")
            lasting = lasting and not _may_pass(problem)
            continue
        proof = compare(computed, reference, prefix.layout, engine=name, precision=bits)
        if proof.passed:
            seconds = time.perf_counter() - begin
            proven = Proven(engine=name, precision=bits, proof=proof, notes=tuple(notes), seconds=seconds)
            if lasting:
                _write_proof(path, question, proven)
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
        with _graph(prefix, folder) as graph:
            return openvino.OpenVinoEngine(graph, precision=precision)
    return pytorch.PyTorchEngine(prefix.module(), precision=precision, device=pytorch.best_device())


def _reference(prefix: Prefix, pixels: np.ndarray) -> np.ndarray:
    """PyTorch float32 on the CPU in its plainest form: what every engine is compared with."""
    import torch

    machine.use_torch()
    with torch.inference_mode():
        rows: np.ndarray = prefix.module()(torch.from_numpy(pixels)).numpy()
    return rows


@contextmanager
def _graph(prefix: Prefix, folder: Path | None) -> Iterator[Any]:
    """The path of the converted graph, checked against its seal; converted (again) when missing or damaged.

    Where it cannot be kept, the path of one that is gone afterwards. Where nothing can be written at all, the graph itself, whose rows
    differ from those of a written one in the last bit.
    """
    home = None if folder is None else _graph_folder(prefix.key, folder)
    if home is not None and _is_whole(home, prefix.key):
        yield home / "graph.xml"
        return
    graph = openvino.converted(prefix.module(), prefix.size_px)
    if home is not None:
        with suppress(OSError, MachineError):
            home.parent.mkdir(parents=True, exist_ok=True)
            with replaced_folder(home) as fresh:  # two processes may do this at once, with the same graph
                openvino.save(graph, fresh / "graph.xml", half=False)
                (fresh / "graph.sha256").write_text(_seal(fresh, prefix.key), "ascii")
            shutil.rmtree(home.parent / home.name.rpartition("-")[0], ignore_errors=True)  # of format 1
        if _is_whole(home, prefix.key):
            yield home / "graph.xml"
            return
    with ExitStack() as stack:
        try:
            elsewhere = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            openvino.save(graph, elsewhere / "graph.xml", half=False)
        except (OSError, MachineError):
            yield graph
        else:
            yield elsewhere / "graph.xml"


def _graph_folder(prefix_key: str, folder: Path) -> Path:
    name = f"openvino-{openvino.import_openvino().__version__.split('-')[0]}-{_graph_key(prefix_key)[:8]}"
    return folder / prefix_key[:16] / name


def _folder(prefix: Prefix, folder: Path) -> Path:
    return _graph_folder(prefix.key, folder).parent


def _graph_key(prefix_key: str) -> str:
    """All that a converted graph hangs on."""
    return json_digest([FORMAT, prefix_key, openvino.import_openvino().__version__, machine.versions(*LIBRARIES)])


def _is_whole(home: Path, prefix_key: str) -> bool:
    """Whether the graph that was made for this key lies there, every byte of it."""
    try:
        return (home / "graph.sha256").read_bytes() == _seal(home, prefix_key).encode("ascii")
    except OSError:
        return False


def _seal(home: Path, prefix_key: str) -> str:
    """SHA-256 over the key and both files: a whole graph of another network is none of ours."""
    sha = hashlib.sha256(_graph_key(prefix_key).encode("ascii"))
    for name in ("graph.xml", "graph.bin"):
        content = (home / name).read_bytes()
        sha.update(len(content).to_bytes(8, "little"))
        sha.update(content)
    return sha.hexdigest()


def _proof_key(prefix: Prefix, pictures: ProofPictures, to_try: list[tuple[str, str]]) -> str:
    """All that a proof hangs on. What is tried says which engines and precisions this machine has."""
    return json_digest(
        {
            "format": FORMAT,
            "prefix": prefix.key,
            "layout": prefix.layout,
            "pictures": pictures.key,
            "tried": to_try,
            "limits": LIMITS,
            "openvino": openvino.import_openvino().__version__,
            "versions": machine.versions(*LIBRARIES, "pillow"),
            "instructions": machine.vector_instructions(),
            "device": pytorch.device_name(),
        }
    )


def _write_proof(path: Path, question: str, proven: Proven) -> None:
    """Nothing where nothing can be written: it is proved again the next time."""
    document = {"question": question, "proven": asdict(proven)}
    with suppress(OSError, MachineError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(document | {"digest": json_digest(document)}))


def _read_proof(path: Path, question: str, to_try: list[tuple[str, str]]) -> Proven | None:
    """None for a proof that is not there, was changed, answers another question, or that passes no more."""
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("digest") != json_digest(document) or document["question"] != question:
            return None
        saved = document["proven"]
        proven = Proven(**saved | {"proof": EngineProof(**saved["proof"]), "notes": tuple(saved["notes"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return proven if (proven.engine, proven.precision) in to_try and proven.proof.passed else None


def _may_pass(problem: Exception) -> bool:
    """Whether it is this moment's, and says nothing of the network: no memory, no room. torch's is a RuntimeError."""
    return isinstance(problem, (OSError, MemoryError, MachineError)) or type(problem).__name__ == "OutOfMemoryError"


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or ["no message"])[0][:200]
