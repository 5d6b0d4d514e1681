"""Tampered model folders and exported files: each is refused by a sentence, or answers as it should: with finite probabilities."""

import json
import math
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fault_trials.trial import Outcome, Place, fault_of_ours, start, warmstart

FOLDER, EXPORTED = "tampered model folder", "tampered export"
SCENARIOS = {FOLDER: 60, EXPORTED: 40}
LONGEST_S = 120  # of a whole process, which starts and loads libraries first

_STRANGE: tuple[Any, ...] = (None, -1, 0, 10**30, 1e308, "", "x" * 1000, [], {}, [None], True, "\u202e", -0.5, ["a"] * 1000)


def trials(place: Place, scenario: str, numbers: Sequence[int]) -> Iterator[Outcome]:
    """One change a number: a value of the document, or bytes of the tensors or the graph."""
    source = place.model
    if scenario == EXPORTED:
        source = place.new("exported")
        for name in ("onnx", "openvino"):
            done = warmstart("export", place.model.parent, "--to", name, "--out", source / name, cache=place.cache)
            assert done.returncode == 0, done.stderr
    picture = next((place.shapes / "circle").iterdir())
    for number in numbers:
        draw = place.random(scenario, number)
        folder = place.new("tampered") / "model"
        shutil.copytree(source if scenario == FOLDER else source / draw.choice(("onnx", "openvino")), folder)
        what = _tamper(folder, draw)
        process = start("predict", folder, picture, "--json", cache=place.cache)
        try:
            out, err = process.communicate(timeout=LONGEST_S)
            wrong = fault_of_ours(subprocess.CompletedProcess((), process.returncode, out, err)) or _strange_answer(
                process.returncode, out
            )
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            wrong = f"still running after {LONGEST_S} s"
        end = {0: "answers", 1: "refused"}.get(process.returncode, f"exit {process.returncode}")
        yield Outcome(
            scenario=scenario, number=number, seed=place.seed, held=not wrong, end=end, detail=wrong and f"{what}: {wrong}"
        )


def _tamper(folder: Path, draw: random.Random) -> str:
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".onnx", ".xml", ".bin"))
    file = draw.choice(files)
    if file.suffix == ".json" and draw.random() < 0.8:
        document = json.loads(file.read_text("utf-8"))
        where = _change(document, draw)
        file.write_text(json.dumps(document), "utf-8")
        return f"{file.name}: {where}"
    content = bytearray(file.read_bytes())
    how = draw.choice(("flip", "cut", "zero", "infinities", "header"))
    at = draw.randrange(len(content))
    if how == "flip":
        for _ in range(draw.choice((1, 10, 1000))):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    elif how == "cut":
        del content[at:]
    elif how == "zero":
        content[at : at + 4096] = bytes(len(content[at : at + 4096]))
    elif how == "infinities":
        content[at // 4 * 4 : at // 4 * 4 + 400] = b"\0\0\x80\x7f" * 100
    else:
        content[draw.randrange(min(len(content), 64))] = draw.randrange(256)
    file.write_bytes(content)
    return f"{file.name}: {how} at {at}"


def _change(document: Any, draw: random.Random) -> str:
    """Somewhere in it a value is replaced or taken out; where."""
    at, path = document, []
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = draw.choice(keys)
        path.append(str(key))
        inner = at[key]
        if isinstance(inner, dict | list) and inner and draw.random() < 0.7:
            at = inner
            continue
        if draw.random() < 0.3:
            del at[key]
            return ".".join(path) + " taken out"
        at[key] = draw.choice(_STRANGE)
        return ".".join(path) + f" = {str(at[key])[:40]!r}"


def _strange_answer(code: int, out: str) -> str:
    if code != 0:
        return ""
    for answer in json.loads(out)["predictions"]:
        shares = list(answer["probabilities"].values())
        if not all(isinstance(share, float | int) and math.isfinite(share) and 0 <= share <= 1 for share in shares):
            return f"probabilities {shares}"
        if abs(sum(shares) - 1) > 1e-3:
            return f"probabilities that sum to {sum(shares)}"
    return ""
