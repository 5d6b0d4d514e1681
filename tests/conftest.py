"""Every test has a cache folder of its own, so none sees what another (or the user) has stored."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMSTART_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data beside the checkout; tests that need it are skipped, visibly, where it is not."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "clothing"
    if not folder.is_dir():
        pytest.skip("the clothing data set is not beside this checkout")
    return folder
