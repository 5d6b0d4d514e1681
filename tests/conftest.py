"""Every test has a cache folder of its own, so none sees what another (or the user) has stored.

Compiled graphs and engine proofs, functions of what they are named after, are shared by all tests of a process: making them took half of
the time of the suite.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

from browser import Browser, find_browser
from drawn_shapes import draw_folder
from warmstart.plan import Plan

if TYPE_CHECKING:
    from warmstart.session.outcome import Run

# Threads of torch that wait for each other turn in circles by default. Where more of them run than there are cores, as with several
# processes of tests, most of the time goes there: a step of training took 330 ms instead of 30 on two busy cores. No number changes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SMALL = Plan(image_size_px=64)

# No test asserts a wall-clock time, and an example that waits for a busy machine is no failure.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")


# Files that take minutes go first: with several processes, one that came last would run while the others have nothing left to do.
LONGEST = (
    "test_page_in_browser.py",
    "test_runs_over_http.py",
    "test_nothing_leaves.py",
    "test_compare.py",
    "test_extraction.py",
    "test_python_page.py",
    "test_public_names.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See LONGEST; all else stays in order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def _own_cache(new_cache: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMSTART_CACHE", str(new_cache()))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all pages; tests that need it are skipped, visibly, where there is no Chromium."""
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium is installed here; get one with: apt-get install chromium")
    with Browser(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def new_cache(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a cache folder with nothing in it but the graphs that all tests share."""
    lasting = os.environ.get("WARMSTART_TEST_GRAPHS")  # benchmarks/mutants.py, which starts hundreds of sessions
    graphs = Path(lasting) if lasting else tmp_path_factory.mktemp("graphs")

    def made() -> Path:
        cache = tmp_path_factory.mktemp("cache")
        (cache / "graphs").symlink_to(graphs, target_is_directory=True)
        return cache

    return made


@pytest.fixture
def fresh_processes() -> None:
    """joblib keeps its processes, with the folder and the environment that they were started in."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data beside the checkout; tests that need it are skipped, visibly, where it is not."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "clothing"
    if not folder.is_dir():
        pytest.skip("the clothing data set is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen drawn pictures in class folders. Not to be changed: see `draw_folder` for one's own."""
    return draw_folder(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="session")
def trained_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder that `trained` filled. Not to be changed: see `warm_cache`."""
    return tmp_path_factory.mktemp("trained-cache")


@pytest.fixture(scope="session")
def trained(shapes: Path, trained_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A model trained on `shapes` with the shipped backbone at 64 px; its run folder is not to be changed either."""
    from warmstart.session.settings import TrainSettings
    from warmstart.workflows.train import train

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WARMSTART_CACHE", str(trained_cache))
        return train(str(shapes), SMALL, TrainSettings(runs=tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="session")
def warm_copy(trained: "Run", trained_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Makes a cache as it is after `trained`, for a fixture that lives longer than a test: no graph is converted again."""
    return lambda: Path(shutil.copytree(trained_cache, tmp_path_factory.mktemp("warm") / "cache"))


@pytest.fixture
def warm_cache(trained: "Run", trained_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache as it is after `trained`, for this test alone: graphs, proofs and rows are there."""
    folder = tmp_path / "warm-cache"
    shutil.copytree(trained_cache, folder)
    monkeypatch.setenv("WARMSTART_CACHE", str(folder))
    return folder
