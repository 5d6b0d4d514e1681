"""Peak memory of an extraction over N pictures and over 20 N: it should not grow with their number.

    python benchmarks/memory.py DATA [--images 300] [--copies 20]

The copies are the same pictures with a comment of their own in the JPEG header: other bytes, other digests, the same pixels. Measured
is the anonymous resident memory of the process (RssAnon in /proc, sampled every 20 ms): what it allocated itself, and not
the pages of the store's file that the system keeps mapped and takes back when it wants them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from rich.console import Console
from rich.table import Table

from warmstart.backbones.weights import load_backbone
from warmstart.data.listing import read_listing
from warmstart.extraction.prefixes import choose_engine, tapped_prefix
from warmstart.extraction.reader import Reader
from warmstart.extraction.recipe import Recipe
from warmstart.extraction.scanning import scan
from warmstart.extraction.workspace import Workspace
from warmstart.records import Preprocessing


def copies(paths: list[str], folder: Path, count: int) -> list[str]:
    """``count`` copies of each JPEG, each with another comment segment behind the start-of-image marker."""
    made = []
    for number in range(count):
        for i, path in enumerate(paths):
            content = Path(path).read_bytes()
            comment = f"{number:06d}".encode("ascii")
            target = folder / f"{number}-{i}.jpg"
            target.write_bytes(content[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + content[2:])
            made.append(str(target))
    return made


def extraction(paths: list[str]) -> dict[str, float]:
    """Scan, prove, fill the store; peak RssAnon in MB meanwhile."""
    peak, finished = [0], threading.Event()

    def sample() -> None:
        while not finished.wait(0.02):
            line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
            peak[0] = max(peak[0], int(line.split()[1]))

    watcher = threading.Thread(target=sample)
    watcher.start()
    prefix, preprocessing = tapped_prefix(load_backbone("efficientnet_lite0"), 224), Preprocessing(size_px=224)
    with Workspace.opened() as workspace:
        pictures = [picture for picture in scan(paths, workspace.store).pictures if picture is not None]
        proven = choose_engine(pictures, prefix, preprocessing, engine="auto", precision="auto", graphs=workspace.graphs)
        with Reader(recipe=Recipe.of(prefix, preprocessing, proven), workspace=workspace).opened() as rows:
            filled = rows.fill(pictures, ("plain",))
    finished.set()
    watcher.join()
    return {"images": filled.misses, "peak_mb": peak[0] / 1000}


def main() -> None:
    """Measure both in processes of their own and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--copies", type=int, default=20)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(extraction(Path(options.child).read_text().splitlines())))
        return
    paths = [example.path for example in read_listing(options.data).examples][: options.images]
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        many = Path(temporary) / "copies"
        many.mkdir()
        for name, chosen in (("few", paths), ("many", copies(paths, many, options.copies))):
            listed = Path(temporary) / f"{name}.txt"
            listed.write_text("\n".join(chosen))
            result = subprocess.run(
                [sys.executable, "-W", "ignore", __file__, options.data, "--child", str(listed)],
                env=os.environ | {"WARMSTART_CACHE": f"{temporary}/{name}-cache"},
                capture_output=True,
                text=True,
                check=True,
            )
            results.append(json.loads(result.stdout.splitlines()[-1]))
    table = Table()
    for column in ("images computed", "peak memory"):
        table.add_column(column, justify="right")
    for r in results:
        table.add_row(f"{r['images']:,}", f"{r['peak_mb']:,.0f} MB")
    Console().print(table)
    ratio = results[1]["peak_mb"] / results[0]["peak_mb"]
    print(f"ratio {ratio:.2f} (within 1.20: {'yes' if ratio <= 1.2 else 'NO'})")


if __name__ == "__main__":
    main()
