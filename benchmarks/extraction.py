"""Features of a folder of images: the usual loop, the same tuned, and ours. One run, interleaved, same files, same backbone.

    python benchmarks/extraction.py DATA [--rounds 3] [--images N]

(a) usual   timm's own evaluation transform (PIL), eager float32 model in eval mode without gradients, batch 32, two loader workers
(b) tuned   the same with the model and batches channels-last under torch.inference_mode
(c) ours    scan, proof of the engine, extraction of all taps into an empty store
(d) train   the whole `warmstart train --cut pooled` command in a process of its own: cold (empty store), then warm (the same again)

(a), (b) and (c) run in processes of their own as well, and are timed inside them from the first file to the last feature, imports
and model loading not counted. (d) counts everything from process start to exit.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

BATCH_SIZE = 32
WORKERS = 2


def usual_loop(data: str, images: int | None, *, tuned: bool) -> dict[str, float]:
    """Features as most people compute them."""
    import torch
    from PIL import Image
    from timm.data import create_transform, resolve_data_config
    from torch.utils.data import DataLoader, Dataset

    from warmstart.backbones.weights import load_backbone
    from warmstart.data.listing import read_listing

    paths = [example.path for example in read_listing(data).examples][:images]
    network = load_backbone("efficientnet_lite0").network
    network.reset_classifier(0)
    transform = create_transform(**resolve_data_config({}, model=network), is_training=False)

    class Pictures(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, i: int) -> torch.Tensor:
            return transform(Image.open(paths[i]).convert("RGB"))  # type: ignore[no-any-return, operator]

    if tuned:
        network = network.to(memory_format=torch.channels_last)
    loader = DataLoader(Pictures(), batch_size=BATCH_SIZE, num_workers=WORKERS)
    begin = time.perf_counter()
    with torch.inference_mode() if tuned else torch.no_grad():
        for batch in loader:
            network(batch.to(memory_format=torch.channels_last) if tuned else batch)
    return {"images": len(paths), "seconds": time.perf_counter() - begin}


def ours(data: str, images: int | None) -> dict[str, float]:
    """Scan, prove, extract: what `warmstart train` does up to the rows."""
    from warmstart.backbones.weights import load_backbone
    from warmstart.data.listing import read_listing
    from warmstart.extraction.prefixes import choose_engine, tapped_prefix
    from warmstart.extraction.reader import Reader
    from warmstart.extraction.recipe import Recipe
    from warmstart.extraction.scanning import scan
    from warmstart.extraction.workspace import Workspace
    from warmstart.records import Preprocessing

    paths = [example.path for example in read_listing(data).examples][:images]
    backbone = load_backbone("efficientnet_lite0")
    begin = time.perf_counter()
    prefix, preprocessing = tapped_prefix(backbone, 224), Preprocessing(size_px=224)
    with Workspace.opened() as workspace:
        pictures = [picture for picture in scan(paths, workspace.store).pictures if picture is not None]
        proven = choose_engine(pictures, prefix, preprocessing, engine="auto", precision="auto", graphs=workspace.graphs)
        Reader(recipe=Recipe.of(prefix, preprocessing, proven), workspace=workspace).rows(pictures)
    return {"images": len(paths), "seconds": time.perf_counter() - begin}


def in_process(what: str, data: str, images: int | None, cache: str) -> dict[str, float]:
    """Run one measurement of this file in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, data, "--only", what] + (["--images", str(images)] if images else [])
    result = subprocess.run(command, env=os.environ | {"WARMSTART_CACHE": cache}, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def whole_train(data: str, cache: str, runs: str) -> dict[str, float]:
    """`warmstart train DATA --cut pooled --json` from the shell, timed around the process."""
    begin = time.perf_counter()
    command = [str(Path(sys.executable).parent / "warmstart"), "train", data, "--cut", "pooled", "--json", "--runs", runs]
    result = subprocess.run(command, env=os.environ | {"WARMSTART_CACHE": cache}, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - begin
    document = json.loads(result.stdout)
    return {"images": document["data"]["images"], "seconds": seconds, "accuracy": document["scores"]["test"]["accuracy"]}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, help="only the first N pictures in (a), (b) and (c)")
    parser.add_argument("--only", choices=("usual", "tuned", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        measure = {"ours": lambda: ours(options.data, options.images)} | {
            name: lambda tuned=name == "tuned": usual_loop(options.data, options.images, tuned=tuned)
            for name in ("usual", "tuned")
        }
        print(json.dumps(measure[options.only]()))
        return

    measured: dict[str, list[dict[str, float]]] = {name: [] for name in ("usual", "tuned", "ours", "train cold", "train warm")}
    for round_number in range(options.rounds):
        with tempfile.TemporaryDirectory() as temporary:
            for name in ("usual", "tuned", "ours"):
                measured[name].append(in_process(name, options.data, options.images, f"{temporary}/{name}"))
            for name in ("train cold", "train warm"):
                measured[name].append(whole_train(options.data, f"{temporary}/train", f"{temporary}/runs"))
        print(f"round {round_number + 1} of {options.rounds} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr)

    table = Table(
        title=f"{Path(options.data).resolve().name}: Lite0, 224 px, {os.cpu_count()} cores, median of {options.rounds} rounds",
    )
    for column in ("", "images", "seconds", "images/s (min-max)", "speed ÷ usual", "speed ÷ tuned", "time ÷ usual"):
        table.add_column(column, justify="right" if column else "left")
    usual = _seconds_per_image(measured["usual"])
    tuned = _seconds_per_image(measured["tuned"])
    for name, rounds in measured.items():
        speeds = [r["images"] / r["seconds"] for r in rounds]
        seconds = statistics.median(r["seconds"] for r in rounds)
        per_image = _seconds_per_image(rounds)
        table.add_row(
            name, f"{rounds[0]['images']:.0f}", f"{seconds:.1f}",
            f"{statistics.median(speeds):.0f} ({min(speeds):.0f}-{max(speeds):.0f})", f"{usual / per_image:.2f}",
            f"{tuned / per_image:.2f}", f"{per_image / usual:.3f}",
        )  # fmt: skip
    console = Console(width=130)
    console.print(table)
    accuracy = measured["train cold"][0]["accuracy"]
    console.print(f"test accuracy of train {accuracy:.3f}; load average at the end {os.getloadavg()[0]:.1f}")


def _seconds_per_image(rounds: list[dict[str, float]]) -> float:
    return statistics.median(r["seconds"] / r["images"] for r in rounds)


if __name__ == "__main__":
    main()
