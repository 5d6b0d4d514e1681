"""The one place that asks about the machine: cores, memory, instruction set, cache folder."""

import atexit
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from warmstart.errors import StoreError, UsageError


def cores() -> int:
    """Cores this process may run on (an affinity mask or a container's cpuset counts), at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def cache_folder() -> Path:
    """Where stored activations and compiled graphs live: WARMSTART_CACHE, or the platform's cache folder.

    Raises StoreError where neither this variable nor a home folder says where.
    """
    override = os.environ.get("WARMSTART_CACHE")
    try:
        if override:
            return Path(override).expanduser()
        home = Path.home()
    except RuntimeError as reason:  # no HOME, and a user whom the system does not know, as in some containers
        raise StoreError(
            "there is no home folder to keep the cache in. Set WARMSTART_CACHE to a folder that you can write, on a disk of this machine."
        ) from reason
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", home / ".cache"))
    return base / "warmstart"


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction-set flags as Linux names them; empty where the system does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def vector_instructions() -> tuple[str, ...]:
    """Those of `cpu_flags` that decide which kernels compute, so the last bits of a result and whether it is fast."""
    kinds = ("sse4", "fma", "f16c", "avx", "amx", "asimd", "sve", "sme", "bf16", "i8mm")
    return tuple(sorted(flag for flag in cpu_flags() if flag.startswith(kinds)))


def file_stamp(status: os.stat_result) -> tuple[int, ...]:
    """Numbers of which one changes when a file is written or another takes its place, also under the old time and size (`cp -p`).

    The time of the last change (ctime) cannot be set back; on Windows it is that of the file's making. Without the device, whose number
    may be another after a restart.
    """
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def versions(*packages: str) -> dict[str, str]:
    """`installed_version` of each package, none of which is imported."""
    return {package: installed_version(package) for package in packages}


def describe() -> dict[str, object]:
    """What a run record says about the machine."""
    flags = cpu_flags()
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": cores(),
        "instruction_sets": sorted(flags & {"avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "bf16", "asimd"}),
        "python": platform.python_version(),
    }


def installed_version(package: str) -> str:
    """The version that pip has written down, or 'unknown': of a package that is not there, or a source tree that was never installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def process_seconds() -> float:
    """Seconds since this process started, imports included; 0 where the system does not tell (only Linux does, without help)."""
    try:
        started_ticks = int(Path("/proc/self/stat").read_text("ascii").rpartition(")")[2].split()[19])
        up_seconds = float(Path("/proc/uptime").read_text("ascii").split()[0])
        return max(0.0, up_seconds - started_ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):  # no such files, no such call
        return 0.0


def peak_bytes() -> int | None:
    """The most memory that this process has held; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


# Importing torch._dynamo, which exporting does and timm may do, makes a folder for compiled code in the folder for temporary files. We
# compile none, so it is empty at the end, and goes. (2026-11, PyTorch 2.14: it puts the name into the environment itself.)
_COMPILED = "TORCHINDUCTOR_CACHE_DIR"
if _COMPILED not in os.environ:

    @atexit.register
    def _leave_no_empty_folder() -> None:
        if _COMPILED in os.environ:
            with suppress(OSError):  # somebody compiled something
                Path(os.environ[_COMPILED]).rmdir()


def store_folder() -> Path:
    """Where activations and features are stored."""
    return cache_folder() / "store"


def graphs_folder() -> Path:
    """Where converted graphs and engine proofs are kept."""
    return cache_folder() / "graphs"


def evidence_folder() -> Path:
    """Where measurements are kept (`store.memo`)."""
    return cache_folder() / "evidence"


_torch_process: int | None = None  # the first one to compute with torch: this one, or one that it was forked from


def use_torch() -> None:
    """To be called before torch computes. Raises UsageError in a forked child where it would wait for ever.

    The threads of its pool (OpenMP) do not live on in a child, and it does not notice.
    """
    global _torch_process
    if _torch_process is None:
        _torch_process = os.getpid()
    elif _torch_process != os.getpid():
        raise UsageError(
            "this process was forked from one in which PyTorch had computed already, and PyTorch's threads do not survive that: here it "
            "would wait for ever. Start workers with the 'spawn' method (multiprocessing.get_context('spawn')), use threads, or fork "
            "before anything is trained, fitted or explained."
        )


def wait_asleep() -> None:
    """Threads of torch that wait for each other are to sleep and not to spin, in a process whose libraries are not loaded yet.

    On two busy cores a step of training takes half the time (1,194 → 595 ms), on idle ones as long as before (293, 299 ms; right of stage5,
    32 pictures: `benchmarks/busy.py`). No number changes. What the user has set stays. OpenBLAS's threads gained nothing by the like.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@contextmanager
def calm_blas(threads: int | None = None) -> Iterator[None]:
    """Half the cores, or so many threads, for numpy's matrix products.

    OpenBLAS's threads wait for each other by spinning: on two cores that also did something else,
    choosing a head took 17 s with two threads and 7 s with one (seen in different runs). On an idle machine two threads took 3 to 4 s.
    Beside an engine one thread is right: after each small product of a prediction the other one spins for about 30 ms, which took
    8 to 29 ms of processor time a picture, where the network takes 15 (EfficientNet-Lite0, 1,000 classes).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads or max(1, cores() // 2), user_api="blas"):
        yield
