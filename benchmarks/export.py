"""The parity tables of docs/export.md: every format and precision of a run, and float32 against int8 in turn on the same pictures.

python benchmarks/export.py RUN … --out FOLDER
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

from warmstart.errors import UsageError
from warmstart.export.formats import FORMATS, PRECISIONS
from warmstart.export.reference import eager_taps
from warmstart.runtime.predictor import open_exported
from warmstart.session.progress import NullProgress
from warmstart.workflows.export import Export, ExportSettings, export
from warmstart.workflows.export_pictures import held_out_pictures
from warmstart.workflows.predict import open_trained

ROUNDS = 5
PICTURES_A_ROUND = 128


def main() -> None:
    """Export, compare, time; print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="where the exports go")
    arguments = parser.parse_args()
    for run in arguments.runs:
        exports = parity_table(run, arguments.out / Path(run).name)
        speed_table(exports, run)


def parity_table(run: str, out: Path) -> list[Export]:
    """Each line is one export; the reference is computed once."""
    model = open_trained(run)
    proof = held_out_pictures(model, run, None, most=1000, watcher=NullProgress())
    reference = eager_taps(model, proof.paths)
    print(
        f"\n### {Path(run).name}: {len(proof.paths)} held-out pictures, head {model.fitted.head_name}, taps {', '.join(model.taps)}\n"
    )
    print("| format | precision | proved | largest difference | same class | accuracy before → after | size |")
    print("|---|---|---|---|---|---|---|", flush=True)
    exports = []
    for name, resize_inside in [*((name, False) for name in FORMATS), ("onnx", True), ("openvino", True)]:
        for precision in PRECISIONS if not resize_inside else ("fp32",):
            label = f"{name}, resize inside" if resize_inside else name
            folder = out / f"{name}-{precision}{'-resize' if resize_inside else ''}"
            settings = ExportSettings(format=name, precision=precision, resize_inside=resize_inside, out=folder, force=True)
            try:
                result = export(run, settings, reference=reference)
            except UsageError as reason:
                print(f"| {label} | {precision} | - | {str(reason).split(':', 1)[1].split('.')[0].strip()} | | | |", flush=True)
                continue
            row = result.parity
            assert row is not None
            print(
                f"| {label} | {precision} | {'yes' if row.proven else 'no: ' + '; '.join(row.failures)} | {row.difference:.1e} | "
                f"{row.agreement:.1%} | {row.accuracy_before:.4f} → {row.accuracy_after:.4f} | {(row.bytes or 0) / 1e6:.1f} MB |",
                flush=True,
            )
            exports.append(result)
    return exports


def speed_table(exports: list[Export], run: str) -> None:
    """Images/s of the engines alone, on prepared pictures: in turn, so that what else runs here hits all alike."""
    model = open_trained(run)
    proof = held_out_pictures(model, run, None, most=PICTURES_A_ROUND, watcher=NullProgress())
    opened = {
        (e.format, e.precision): open_exported(e.file)
        for e in exports
        if e.format != "torch-export" and not e.folder.name.endswith("-resize")
    }
    pixels = [next(iter(opened.values())).prepare(path) for path in proof.paths]
    speeds: dict[tuple[str, str], list[float]] = {key: [] for key in opened}
    for predictor in opened.values():
        predictor.predict_prepared(pixels[:8], proof.paths[:8])
    for _ in range(ROUNDS):
        for key, predictor in opened.items():
            begin = time.perf_counter()
            predictor.predict_prepared(pixels, proof.paths)
            speeds[key].append(len(pixels) / (time.perf_counter() - begin))
    print(
        f"\nEngine alone, images/s, median of {ROUNDS} rounds of {len(pixels)} in turn; load average {os.getloadavg()[0]:.1f}\n"
    )
    print("| engine | " + " | ".join(f"{precision}" for precision in PRECISIONS) + " | int8 / fp32, median of rounds (range) |")
    print("|---|" + "---|" * len(PRECISIONS) + "---|")
    for name in ("onnx", "openvino"):
        cells = [f"{np.median(speeds[name, p]):.0f}" if (name, p) in speeds else "-" for p in PRECISIONS]
        ratio = np.array(speeds[name, "int8"]) / np.array(speeds[name, "fp32"])
        print(f"| {name} | {' | '.join(cells)} | {np.median(ratio):.2f} ({ratio.min():.2f}-{ratio.max():.2f}) |", flush=True)


if __name__ == "__main__":
    main()
