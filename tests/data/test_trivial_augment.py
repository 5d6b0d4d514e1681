from collections import Counter

import numpy as np
import pytest
from PIL import Image

from warmstart.data import trivial_augment as module
from warmstart.data.trivial_augment import OPERATIONS, STRENGTHS, Operation, trivial_augment

GREY = 128


@pytest.fixture
def picture() -> Image.Image:
    """35 × 35, coloured noise over a limited range of values, so that stretching and equalising have something to do."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(30, 200, (9, 9, 3), dtype=np.uint8))
    return coarse.resize((35, 35), Image.Resampling.BILINEAR)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("negative", [False, True])
def test_every_operation_keeps_size_and_mode_at_its_extremes(name, negative, picture):
    for strength in (0, 1):
        for size in [(35, 35), (1, 1), (40, 1), (2, 9)]:
            result = OPERATIONS[name].run(picture.resize(size), strength, negative=negative)
            assert (result.size, result.mode) == (size, "RGB")


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "identity"])
def test_every_operation_changes_the_picture_and_only_in_its_copy(name, picture):
    before = np.asarray(picture).copy()
    assert (np.asarray(OPERATIONS[name].run(picture, 1, negative=False)) != before).mean() > 0.05
    assert np.array_equal(np.asarray(picture), before)


@pytest.mark.parametrize(
    "name", ["identity", "rotate", "solarize", "posterize", "shear-x", "shear-y", "translate-x", "translate-y"]
)
def test_strength_zero_is_no_change(name, picture):
    for negative in (False, True):
        assert np.array_equal(np.asarray(OPERATIONS[name].run(picture, 0, negative=negative)), np.asarray(picture))


@pytest.mark.parametrize("name", ["saturation", "contrast", "brightness", "sharpness"])
def test_enhancements_run_from_weaker_to_stronger_around_no_change(name, picture):
    operation = OPERATIONS[name]
    neutral = (1 - operation.weakest) / (operation.strongest - operation.weakest)
    assert np.array_equal(np.asarray(operation.run(picture, neutral, negative=False)), np.asarray(picture))
    assert operation.weakest < 1 < operation.strongest


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_operation_empties_a_picture_at_any_strength(name, picture):
    for step in range(STRENGTHS):
        values = np.asarray(OPERATIONS[name].run(picture, step / (STRENGTHS - 1), negative=False)).astype(float)
        assert values.std() > 0.15 * np.asarray(picture).std()


def test_rotation_by_90_degrees_is_a_quarter_turn_against_the_clock(picture):
    turned = OPERATIONS["rotate"].run(picture, 90 / 135, negative=False)
    assert np.abs(np.asarray(turned).astype(int) - np.rot90(np.asarray(picture))).max() <= 1
    back = OPERATIONS["rotate"].run(turned, 90 / 135, negative=True)
    assert np.abs(np.asarray(back).astype(int) - np.asarray(picture)).max() <= 1


def test_translation_moves_by_a_seventh_at_most_and_mid_grey_moves_in(picture):
    before = np.asarray(picture)
    moved = np.asarray(OPERATIONS["translate-x"].run(picture, 1, negative=False))
    assert np.array_equal(moved[:, :30], before[:, 5:])
    assert (moved[:, 30:] == GREY).all()
    moved = np.asarray(OPERATIONS["translate-y"].run(picture, 1, negative=True))
    assert np.array_equal(moved[5:], before[:30])
    assert (moved[:5] == GREY).all()


@pytest.mark.parametrize(("name", "row"), [("shear-x", (17, slice(None))), ("shear-y", (slice(None), 17))])
def test_shears_keep_the_middle_in_place_and_fill_with_mid_grey(name, row, picture):
    sheared = np.asarray(OPERATIONS[name].run(picture, 1, negative=False))
    # The middle row of an odd number of rows lies on the axis of the shear.
    assert np.abs(sheared[row].astype(int) - np.asarray(picture)[row]).max() <= 2
    assert (sheared[0, 0] == GREY).all()
    assert (sheared[-1, -1] == GREY).all()


def test_solarize_inverts_from_its_threshold_up_and_posterize_keeps_two_bits(picture):
    before = np.asarray(picture)
    assert np.array_equal(np.asarray(OPERATIONS["solarize"].run(picture, 1, negative=False)), 255 - before)
    half = np.asarray(OPERATIONS["solarize"].run(picture, 0.5, negative=False))
    assert np.array_equal(half, np.where(before >= 128, 255 - before, before))
    assert np.array_equal(np.asarray(OPERATIONS["posterize"].run(picture, 1, negative=False)), before & 0b1100_0000)


def test_operation_strength_and_sign_are_drawn_uniformly(monkeypatch):
    drawn: list[tuple[str, float]] = []

    def recording(name):
        return Operation(lambda picture, amount: drawn.append((name, amount)) or picture, 0, 30, signed=True)

    monkeypatch.setattr(module, "OPERATIONS", {name: recording(name) for name in OPERATIONS})
    rng, tiny, n = np.random.default_rng(1), Image.new("RGB", (1, 1)), 14 * 31 * 20
    for _ in range(n):
        trivial_augment(tiny, rng)
    names = Counter(name for name, _ in drawn)
    assert names.keys() == OPERATIONS.keys()
    assert max(abs(count - n / 14) for count in names.values()) < 4 * (n / 14) ** 0.5
    strengths = Counter(round(abs(amount), 9) for _, amount in drawn)
    assert sorted(strengths) == list(range(31))
    assert max(abs(count - n / 31) for count in strengths.values()) < 4 * (n / 31) ** 0.5
    assert abs(sum(amount < 0 for _, amount in drawn) - n * 30 / 62) < 2 * n**0.5


def test_every_operation_draws_as_many_random_numbers():
    states = set()
    for seed in range(60):
        rng, reference = np.random.default_rng(seed), np.random.default_rng(seed)
        trivial_augment(Image.new("RGB", (4, 4)), rng)
        reference.random(3)
        states.add(rng.random() == reference.random())
    assert states == {True}
