"""`import warmstart as ws`: every public name is what it says, whatever was called before it, and on systems that are not Unix."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EVERY_NAME = """
import sys
from dataclasses import replace
from pathlib import Path
import warmstart as ws

data, home, order = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
tiny = ws.Plan(backbone="timm:test_efficientnet", weights="random", image_size_px=64, taps="middle", precision="f32")
quick = {"heat_maps": False, "findings": False, "quiet": True}
picture = next(data.glob("*/*.png"))
run = ws.train(data, tiny, runs=home / "runs", **quick)
backbone = ws.load_backbone("timm:test_efficientnet", weights="random")

calls = {
    "Classifier": lambda: ws.Classifier(tiny.backbone, weights="random", image_size_px=64),
    "MultiLabelClassifier": lambda: ws.MultiLabelClassifier(tiny.backbone, weights="random", image_size_px=64),
    "Regressor": lambda: ws.Regressor(tiny.backbone, weights="random", image_size_px=64),
    "advise": lambda: ws.advise(data, tiny, quiet=True),
    "backbones": lambda: ws.backbones("timm:test_efficientnet", image_size_px=64),
    "cache": lambda: ws.cache(),
    "features": lambda: ws.features(picture, backbone=tiny.backbone, weights="random", image_size_px=64),
    "lr_find": lambda: ws.lr_find(data, replace(tiny, cut="stage2", batch_size=8), steps=10, runs=home / "rates", quiet=True),
    "predict": lambda: ws.predict(run, data, quiet=True),
    "resume": lambda: callable(ws.resume),
    "Backbone": lambda: isinstance(backbone, ws.Backbone),
    "FeatureExtractor": lambda: ws.FeatureExtractor(),
    "Model": lambda: isinstance(run.model, ws.Model),
    "Plan": lambda: ws.Plan(),
    "Prediction": lambda: isinstance(run.model.predict(picture), ws.Prediction),
    "WarmstartError": lambda: issubclass(ws.WarmstartError, Exception),
    "compare": lambda: ws.compare(data, {"one": tiny}, runs=home / "compared", **quick),
    "doctor": lambda: ws.doctor(data, tiny, quiet=True),
    "evaluate": lambda: ws.evaluate(run.folder, data, quiet=True),
    "explain": lambda: ws.explain(run.folder, picture, quiet=True),
    "export": lambda: ws.export(run.folder, "openvino", out=home / order, quiet=True),
    "filters": lambda: ws.filters(run.folder, quiet=True),
    "freeze": lambda: ws.freeze(backbone, "stem"),
    "frozen_table": lambda: ws.frozen_table(backbone),
    "inspect": lambda: ws.inspect(data, quiet=True),
    "load": lambda: ws.load(run.folder),
    "load_backbone": lambda: backbone,
    "replace_classifier": lambda: ws.replace_classifier(backbone, 3),
    "report": lambda: ws.report(run.folder, heat_maps=False),
    "show": lambda: ws.show(data, image_size_px=64),
    "split": lambda: ws.split(backbone, "stage2"),
    "train": lambda: ws.train(data, replace(tiny, seed=1), runs=home / "again", **quick),
    "unfreeze": lambda: ws.unfreeze(backbone, "stem"),
}
assert sorted(calls) == dir(ws), set(dir(ws)) ^ set(calls)
for name in sorted(calls, reverse=order == "backwards"):
    assert calls[name]() is not False, name
"""


@pytest.mark.parametrize("order", ["forwards", "backwards"])
def test_every_public_name_does_its_work_after_training(shapes: Path, tmp_path: Path, order: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", EVERY_NAME, str(shapes), str(tmp_path), order],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_importing_a_folder_of_the_same_name_changes_no_public_name() -> None:
    import warmstart as ws
    import warmstart.export.formats
    import warmstart.tasks.classify.explain.heat_map
    import warmstart.tasks.classify.report.page

    assert [callable(function) for function in (ws.explain, ws.export, ws.report)] == [True] * 3
    from warmstart.tasks.classify.report import page

    assert page.__name__ == "warmstart.tasks.classify.report.page"


def test_a_public_name_can_be_replaced_by_whoever_tests_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import warmstart as ws

    monkeypatch.setattr(ws, "train", "mine")
    assert ws.train == "mine"  # type: ignore[comparison-overlap]


# What CPython has on Unix alone, as modules and as functions of others.
WITHOUT_UNIX = """
import importlib, os, pkgutil, signal, sys

for name in ("fcntl", "grp", "posix", "pwd", "resource", "termios", "tty", "pty", "syslog"):
    if name == "posix":
        continue  # os itself stands on it
    sys.modules[name] = None

# Others' code looks at the system's name and expects what that has; ours must do without: imported last, it meets an os without these.
import lmdb, matplotlib.figure, multiprocessing.util, numpy, onnxruntime, openvino
import rich, safetensors, sklearn.svm, threadpoolctl, timm, torch, typer
import warmstart
every_module = [m.name for m in pkgutil.walk_packages(warmstart.__path__, "warmstart.") if m.name != "warmstart.store.locks"]

class Locks:
    '''What stands in the branch for Windows of store.locks, which needs msvcrt.'''

    @staticmethod
    def lock_shared(path): return path.open("ab")
    @staticmethod
    def lock_alone(path): return path.open("ab")
    @staticmethod
    def unlock(file): file.close()

sys.modules["warmstart.store.locks"] = Locks
for name in ("sched_getaffinity", "sysconf", "fork", "getuid", "geteuid", "killpg", "getpgid", "mkfifo", "fchmod", "O_NONBLOCK"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM"):
    delattr(signal, name)
for name in every_module:
    importlib.import_module(name)

import warmstart as ws
tiny = ws.Plan(backbone="timm:test_efficientnet", weights="random", image_size_px=64, taps="middle", precision="f32")
run = ws.train(sys.argv[1], tiny, runs=sys.argv[2], quiet=True)
print(run.model.predict(sys.argv[3]).class_name)
"""


def test_everything_is_imported_and_trains_where_there_is_no_unix(shapes: Path, tmp_path: Path) -> None:
    picture = next(shapes.glob("*/*.png"))
    environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1"}  # the script imports the libraries before us
    command = [sys.executable, "-c", WITHOUT_UNIX, str(shapes), str(tmp_path), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"circle", "square", "stripes"}
