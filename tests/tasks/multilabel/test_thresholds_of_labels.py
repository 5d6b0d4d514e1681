"""Probabilities that mean what they say, thresholds, and the recall that was asked for."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import f1_score

from warmstart.errors import UsageError
from warmstart.tasks.multilabel.calibration import calibration_error, logit, platt, sigmoid
from warmstart.tasks.multilabel.recall import RecallControl, least_pictures
from warmstart.tasks.multilabel.thresholds import LIMITS, best, thresholds


def drawn(n: int, seed: int, slope: float = 1.0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose probabilities are σ(slope z + offset), four labels from common to rare, and truth."""
    random = np.random.default_rng(seed)
    z = random.normal([0.5, -0.5, -1.5, -3.0], 1.5, (n, 4))
    return z, (random.random(z.shape) < sigmoid(slope * z + offset)).astype(float)


def test_calibration_finds_slope_and_offset_and_lets_rare_labels_lean_on_the_others() -> None:
    z, truth = drawn(4000, 0, slope=0.5, offset=-0.7)
    slope, offset = platt(z, truth)
    np.testing.assert_allclose(slope, 0.5, atol=0.08)
    np.testing.assert_allclose(offset, -0.7, atol=0.15)
    new, new_truth = drawn(4000, 1, slope=0.5, offset=-0.7)
    assert calibration_error(sigmoid(slope * new + offset), new_truth) < 0.02 < 0.1 < calibration_error(sigmoid(new), new_truth)
    truth[:, 3] = np.nan
    truth[:3, 3] = [1, 0, 1]
    few_slope, few_offset = platt(z, truth)
    assert abs(few_slope[3] - few_slope[:3].mean()) < 0.15
    assert abs(few_offset[3] - few_offset[:3].mean()) < 0.2


def test_calibration_changes_no_order_and_separable_logits_are_never_sure() -> None:
    z = np.linspace(-4, 4, 30)[:, None]
    wrong_way = (z < 0).astype(float)
    assert platt(z, wrong_way)[0, 0] > 0
    slope, offset = platt(z, 1 - wrong_way)
    assert sigmoid(slope * z + offset).max() < 1


def test_the_best_threshold_is_the_one_of_the_largest_f1() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        truth = random.random(40) < 0.3
        truth[0] = True
        p = np.clip(random.random(40) * 0.6 + 0.3 * truth, 0.06, 0.94).round(2)
        every = [f1_score(truth, p >= t) for t in np.unique(p)]
        assert f1_score(truth, p >= best(p, truth)) == pytest.approx(max(every))
    assert best(p, np.zeros(40, bool)) == 0.5


def test_a_rare_label_gets_nearly_the_threshold_of_all_and_a_common_one_its_own() -> None:
    random = np.random.default_rng(1)
    truth = np.stack([random.random(3000) < 0.5, np.arange(3000) < 3], axis=1).astype(float)
    p = sigmoid(np.where(truth == 1, 1.0, -2.0) + random.normal(0, 1, truth.shape))
    common = best(p.ravel(), truth.ravel() == 1)
    found = thresholds(p, truth)
    own = [best(p[:, o], truth[:, o] == 1) for o in range(2)]
    assert found[0] == pytest.approx(own[0], abs=0.02)
    expected = 3 / 23 * logit(np.array(own[1])) + 20 / 23 * logit(np.array(common))
    assert logit(found[1]) == pytest.approx(float(np.clip(expected, *logit(np.array(LIMITS)))))


def test_unknown_entries_have_no_part_in_calibration_thresholds_and_recall() -> None:
    z, truth = drawn(300, 2)
    truth[np.random.default_rng(3).random(truth.shape) < 0.4] = np.nan
    whatever = np.where(np.isnan(truth), -50.0, z)
    np.testing.assert_array_equal(platt(z, truth), platt(whatever, truth))
    np.testing.assert_array_equal(thresholds(sigmoid(z), truth), thresholds(sigmoid(whatever), truth))
    one, other = (RecallControl.of(sigmoid(values), truth) for values in (z, whatever))
    np.testing.assert_array_equal(one.held_out, other.held_out)


def test_the_recall_threshold_is_the_largest_that_the_theorem_allows() -> None:
    z, truth = drawn(60, 4)
    p = sigmoid(z)
    has = truth.any(axis=1)
    n = int(has.sum())

    def risk(t: float) -> float:
        missed = ((p < t) & (truth == 1)).sum(axis=1)[has] / truth.sum(axis=1)[has]
        return float(missed.sum() + 1) / (n + 1)

    control = RecallControl.of(p, truth)
    for recall in (0.5, 0.8, 0.9, 0.95):
        t = control.threshold(recall)
        assert risk(t) <= 1 - recall + 1e-9
        above = np.unique(p[p > t])
        assert not len(above) or risk(float(np.nextafter(t, 1))) > 1 - recall or (p[truth == 1] > t).all()


@pytest.mark.parametrize("recall", [0.8, 0.95])
def test_recall_is_inside_its_band_over_twenty_reshuffles(recall: float) -> None:
    z, truth = drawn(1600, 5, slope=0.7)
    random = np.random.default_rng(6)
    inside, found = 0, []
    for _ in range(20):
        order = random.permutation(len(z))
        calibrating, test = order[:800], order[800:]
        slope, offset = platt(z[calibrating], truth[calibrating])
        control = RecallControl.of(sigmoid(slope * z[calibrating] + offset), truth[calibrating])
        one = control.tested(sigmoid(slope * z[test] + offset), truth[test]).found(recall)
        found.append(one.measured)
        # Of test and of what calibrates chance moves the share; a binomial of each is wider than a mean of shares.
        low, high = binom.interval(0.95, one.pictures // 2, recall)
        inside += low <= one.measured * (one.pictures // 2) <= high
        assert one.ci95[0] <= one.measured <= one.ci95[1]
    assert inside >= 19, (inside, found)
    assert np.mean(found) == pytest.approx(recall, abs=0.015)


def test_a_recall_that_too_few_pictures_can_promise_is_refused_with_the_largest_that_they_can() -> None:
    control = RecallControl.of(np.full((8, 2), 0.5), np.ones((8, 2)))
    with pytest.raises(UsageError, match=r"8 pictures with a label calibrated this model, too few to promise a recall of 0.95"):
        control.threshold(0.95)
    assert control.threshold(8 / 9 - 1e-6) == 0.5
    with pytest.raises(UsageError, match=r"recall 1.5 is no share"):
        control.threshold(1.5)
    assert [least_pictures(share) for share in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]
