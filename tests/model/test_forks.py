"""A process forked from one that has predicted predicts as well; where PyTorch would wait for ever, it is said."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from warmstart.session.outcome import Run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# Hours, not seconds: what is looked for is a child that waits for ever.
LONG_S = 3600


def _answers(code: str, *arguments: object) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONG_S)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_child_predicts_what_its_parent_predicts_and_ends(trained: "Run", warm_cache: Path, shapes: Path) -> None:
    code = """
import gc, os, sys
import warmstart as ws
model = ws.load(sys.argv[1])
print(repr(model.predict(sys.argv[2]).probability), flush=True)
if os.fork() == 0:
    print(repr(model.predict(sys.argv[2]).probability), flush=True)
    if os.fork() == 0:
        print(repr(model.predict(sys.argv[2]).probability), flush=True)
        sys.exit(0)
    os.wait()
    del model
    gc.collect()
    sys.exit(0)  # the interpreter ends, and takes what it holds apart
os.wait()
print(repr(model.predict(sys.argv[2]).probability), flush=True)
"""
    answers = _answers(code, trained.folder, next(shapes.rglob("*.png")))
    assert len(answers) == 4
    assert len(set(answers)) == 1


def test_a_child_that_only_ends_does_not_wait_for_its_parents_engine(trained: "Run", warm_cache: Path, shapes: Path) -> None:
    code = """
import os, sys
import warmstart as ws
model = ws.load(sys.argv[1])
model.predict(sys.argv[2])
if os.fork() == 0:
    del model
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""
    assert _answers(code, trained.folder, next(shapes.rglob("*.png"))) == ["0"]


def test_stored_features_are_read_in_a_child_and_what_takes_pytorch_says_that_it_would_wait(
    warm_cache: Path, shapes: Path
) -> None:
    code = """
import os, sys
import warmstart as ws
pictures = sys.argv[1:]
extractor = ws.FeatureExtractor(image_size_px=64)
rows = extractor.fit_transform(pictures)
if os.fork() == 0:
    print((extractor.transform(pictures) == rows).all(), flush=True)
    try:
        ws.FeatureExtractor(image_size_px=64).fit(pictures)
    except ws.WarmstartError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
print((extractor.fit_transform(pictures) == rows).all())
"""
    child, refusal, parent = _answers(code, *sorted(shapes.rglob("*.png"))[:3])
    assert (child, parent) == ("True", "True")
    assert "forked" in refusal
    assert "spawn" in refusal


def test_an_exported_file_is_opened_again_in_a_child(trained: "Run", warm_cache: Path, shapes: Path, tmp_path: Path) -> None:
    from warmstart.workflows.export import ExportSettings, export

    made = export(str(trained.folder), ExportSettings(format="openvino", out=tmp_path / "exported"))
    code = """
import os, sys
import warmstart as ws
model = ws.load(sys.argv[1])
print(repr(model.predict(sys.argv[2]).probability), flush=True)
if os.fork() == 0:
    print(repr(model.predict(sys.argv[2]).probability), flush=True)
    sys.exit(0)
os.wait()
"""
    answers = _answers(code, made.folder, next(shapes.rglob("*.png")))
    assert len(answers) == 2
    assert len(set(answers)) == 1
