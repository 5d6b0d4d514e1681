"""The oldest releases that are taken: the same wherever they are written, and none with a hole that we know of."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENT = re.compile(r"^([a-z0-9_.-]+)(?:>=([0-9.]+)(?:,<[0-9.]+)?)?$", re.IGNORECASE)

# The first release in which every published hole is mended that docs/dependencies.md names.
MENDED = {
    "torch": "2.10",
    "pillow": "12.3",
    "starlette": "1.3.1",
    "h11": "0.16",
    "python-multipart": "0.0.30",
    "jinja2": "3.1.6",
    "onnx": "1.21",
    "scikit-learn": "1.5",
    "setuptools": "78.1.1",
}


def floors(requirements: list[str]) -> dict[str, str]:
    matches = [REQUIREMENT.match(line.strip()) for line in requirements if line.strip() and not line.startswith("#")]
    assert all(matches), requirements
    return {match[1]: match[2] for match in matches if match is not None}


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


@pytest.fixture(scope="module")
def written() -> dict[str, dict[str, str]]:
    """Place → package → oldest release."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found = {f"extra {name}": floors(lines) for name, lines in document["project"]["optional-dependencies"].items()}
    found["dependencies"] = floors(document["project"]["dependencies"])
    found["build"] = floors(document["build-system"]["requires"])
    for name in ("requirements-runtime.txt", "requirements-serve.txt"):
        found[name] = floors((ROOT / name).read_text("utf-8").splitlines())
    return found


def test_a_package_has_the_same_oldest_release_everywhere(written: dict[str, dict[str, str]]) -> None:
    for package in {package for place in written.values() for package in place}:
        found = {place: packages[package] for place, packages in written.items() if package in packages}
        assert len(set(found.values())) == 1, (package, found)


def test_the_extras_and_their_files_hold_the_same_packages(written: dict[str, dict[str, str]]) -> None:
    assert written["requirements-runtime.txt"] == written["extra runtime"]
    # What --no-deps leaves out of warmstart itself stands in the file only.
    assert written["requirements-serve.txt"] == written["extra serve"] | {"jinja2": written["dependencies"]["jinja2"]}


def test_no_release_with_a_known_hole_is_taken_and_the_document_says_so(written: dict[str, dict[str, str]]) -> None:
    table = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    for package, mended in MENDED.items():
        places = {place: packages[package] for place, packages in written.items() if package in packages}
        assert places, package
        for place, oldest in places.items():
            assert number(oldest) >= number(mended), (place, package)
            assert re.search(rf"^\\| {package}( \\(to build\\))? \\| {re.escape(oldest)} \\|", table, re.MULTILINE), package
