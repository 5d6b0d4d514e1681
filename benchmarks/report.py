"""How long the report of a large run takes, and how large it is.

    python benchmarks/report.py DATA [--pictures 10000]

The pictures are copies of those in DATA, a few bytes appended to each so that no two are the same; the run reads them at 64 px, so that
they are soon learnt. Timed is `warmstart report` alone, on a run that is finished.
"""

import argparse
import itertools
import tempfile
import time
from pathlib import Path

from warmstart.data.listing import read_listing
from warmstart.plan import Plan
from warmstart.session.settings import TrainSettings
from warmstart.workflows.report import report
from warmstart.workflows.train import train


def copies(source: str, folder: Path, count: int) -> None:
    """folder/<class>/<number>.jpg, ``count`` in all."""
    examples = read_listing(source).examples
    for number, example in zip(range(count), itertools.cycle(examples), strict=False):
        path = folder / example.class_name / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path(example.path).read_bytes() + number.to_bytes(4, "little"))


def main() -> None:
    """Copy, train, time the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--pictures", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copies(given.data, folder / "copies", given.pictures)
        plan = Plan(image_size_px=64, taps="pooled", head="ridge")
        run = train(str(folder / "copies"), plan, TrainSettings(runs=folder / "runs", report=False))
        wall, processor = time.perf_counter(), time.process_time()
        made = report(run.folder)
        print(
            f"{run.record.data.images:,} pictures: {time.perf_counter() - wall:.1f} s ({time.process_time() - processor:.1f} s of "
            f"processor time), {made.bytes / 1e6:.1f} MB, {made.thumbnails:,} thumbnails, {made.without_room:,} without room"
        )


if __name__ == "__main__":
    main()
