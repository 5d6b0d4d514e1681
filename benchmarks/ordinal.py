"""Values in an order learnt in three ways on the same pictures: as an order, as classes, as a number.

    python benchmarks/ordinal.py [--seeds 0 1 2 3 4] [--size 300] [--cut pooled] [--train 200] [--resamples 2000]

The pictures are the demo's, 2,624 solar cells of the package elpv-dataset, with the whole of what their labels say: the probability 0,
1/3, 2/3 or 1 that a cell is defective, as an expert judged it. (The demo makes two classes of these.) With each seed a quarter is drawn
for test inside each probability and type of cell; `ordinal`, `classify` and `regress` learn from the same other pictures, frozen, each as
it comes: taps and penalty by folds of train. Nothing is chosen on test.

What a number is taken for is the nearest of the four. Of classes there are two answers: the likeliest, as `classify` gives it, and the
median of its probabilities, which is what `ordinal` answers with. Differences are paired, their intervals bootstrap percentiles over the
test pictures of a seed.
"""

import argparse
import csv
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from warmstart.extraction.reader import Reader
from warmstart.extraction.scanning import scan_given
from warmstart.extraction.workspace import Workspace
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.tasks.ordinal.scores import kappa, table_of
from warmstart.tasks.ordinal.sets import decide
from warmstart.workflows.train import train

TEST = 0.25
METRICS = ("qwk", "mae_ranks", "accuracy", "within_one")
WAYS = ("ordinal", "classify", "classify, median", "regress")


def main() -> None:
    """Print a table for each seed, and one of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--size", type=int, default=300)
    parser.add_argument("--cut", default="pooled")
    parser.add_argument(
        "--train", type=int, help="about how many pictures there are to learn from; default: all that are not in test"
    )
    parser.add_argument("--resamples", type=int, default=2000)
    asked = parser.parse_args()
    found, apart = [], []
    with tempfile.TemporaryDirectory() as work:
        for seed in asked.seeds:
            table = drawn(Path(work), seed, val=asked.cut != "pooled", most=asked.train)
            truth, said = ranks(table, asked, Path(work), seed)
            found.append({way: measured(truth, said[way]) for way in WAYS})
            apart.append({way: differences(truth, said["ordinal"], said[way], asked.resamples) for way in WAYS[1:]})
            show(f"seed {seed}, {len(truth)} test pictures", found[-1], apart[-1])
    if len(found) > 1:
        print(f"mean of {len(found)} seeds (lowest to highest)")
        for way in WAYS:
            print(f"  {way:27}" + "".join(over(metric, [one[way][metric] for one in found], ".3f") for metric in METRICS))
        for way in WAYS[1:]:
            print(f"  ordinal - {way:17}" + "".join(over(m, [one[way][m][0] for one in apart], "+.3f") for m in METRICS))


def over(metric: str, values: list[float], form: str) -> str:
    """A number of all seeds."""
    return f"  {metric} {np.mean(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def show(title: str, found: dict, apart: dict) -> None:
    """Print what one seed gave."""
    print(title)
    for way, values in found.items():
        print(f"  {way:27}" + "".join(f"  {metric} {values[metric]:.3f}" for metric in METRICS))
    for way, values in apart.items():
        print(
            f"  ordinal - {way:17}"
            + "".join("  {} {:+.3f} ({:+.3f} to {:+.3f})".format(metric, *values[metric]) for metric in METRICS)
        )
    print(flush=True)


def drawn(work: Path, seed: int, *, val: bool, most: int | None) -> Path:
    """A table with the columns path, label, split; with val a tenth of all is kept for it. ``most``: pictures of train."""
    spec = find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the pictures are not installed: pip install elpv-dataset (CC BY-NC-SA 4.0, not for commercial use)")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    rows = [line.split() for line in (folder / "labels.csv").read_text("utf-8").splitlines() if line.strip()]
    strata: dict[tuple[str, str], list[str]] = {}
    for path, probability, cell in rows:
        strata.setdefault((probability, cell), []).append(path)
    random, table = np.random.default_rng(seed), work / f"cells-{seed}.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for (probability, _), paths in sorted(strata.items()):
            for place, i in enumerate(random.permutation(len(paths))):
                share = (place + 0.5) / len(paths)
                begin = TEST + 0.1 * val
                split = "test" if share < TEST else "val" if share < begin else "train"
                if most is not None and share >= begin + most / len(rows):
                    continue
                writer.writerow((folder / paths[i], f"{float(probability):.3g}", split))
    return table


def ranks(table: Path, asked, work: Path, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The true ranks of test, and what each way says."""
    settings = TrainSettings(findings=False, report=False, group_duplicates=False, runs=work / "runs")
    rows, models = {}, {}
    for task in ("ordinal", "classify", "regress"):
        plan = Plan(task=task, cut=asked.cut, image_size_px=asked.size, resize="squash", seed=seed)
        run = train(str(table), plan, settings)
        models[task] = run.model
        with (run.folder / "predictions.csv").open(newline="") as file:
            rows[task] = {row["path"]: row for row in csv.DictReader(file)}
        print(f"  {task}: taps {run.record.choice['tap_set']}, {run.record.choice['settings']}", flush=True)
        if task == "ordinal":
            for one in run.record.trust["sets"]:
                print(
                    f"    sets for {one['asked']:g}: {one['measured']:.3f} hold the true value, {one['size']:.2f} values each"
                )
    paths = sorted(rows["ordinal"])
    if any(set(of_task) != set(paths) for of_task in rows.values()):
        raise SystemExit("the three runs have other test pictures")
    order = sorted({rows["ordinal"][path]["true"] for path in paths}, key=float)
    sizes = np.array(order, float)

    def of(task: str, column: str) -> np.ndarray:
        return np.array([order.index(rows[task][path][column]) for path in paths])

    estimates = np.array([float(rows["regress"][path]["label estimated"]) for path in paths])
    shares = probabilities(models["classify"], paths)
    shares = shares[:, [models["classify"].fitted.class_names.index(name) for name in order]]
    said = {
        "ordinal": of("ordinal", "said"),
        "classify": of("classify", "predicted"),
        "classify, median": decide(shares),
        "regress": np.abs(estimates[:, None] - sizes).argmin(axis=1),
    }
    return of("ordinal", "true"), said


def probabilities(model, paths: list[str]) -> np.ndarray:
    """(N, K), of rows that are stored."""
    with Workspace.opened() as workspace:
        pictures = scan_given([(path, None) for path in paths], workspace.store).pictures
        rows = Reader(recipe=model.recipe(), workspace=workspace).rows(pictures).rows
    return model.outputs(rows).probabilities


def measured(truth: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """The four numbers."""
    off = np.abs(said - truth)
    return {
        "qwk": kappa(table_of(truth, said, 4)) or 0.0,
        "mae_ranks": float(off.mean()),
        "accuracy": float((off == 0).mean()),
        "within_one": float((off <= 1).mean()),
    }


def differences(truth: np.ndarray, one: np.ndarray, other: np.ndarray, resamples: int) -> dict[str, tuple[float, float, float]]:
    """Of each number, one - other with the ends of its 95 % interval."""
    random = np.random.default_rng(0)
    both = measured(truth, one), measured(truth, other)
    found: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for _ in range(resamples):
        at = random.integers(len(truth), size=len(truth))
        a, b = measured(truth[at], one[at]), measured(truth[at], other[at])
        for metric in METRICS:
            found[metric].append(a[metric] - b[metric])
    return {
        metric: (both[0][metric] - both[1][metric], *(float(v) for v in np.quantile(found[metric], [0.025, 0.975])))
        for metric in METRICS
    }


if __name__ == "__main__":
    main()
