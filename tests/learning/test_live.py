from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_promptseg.encoders.features import DenseFeatures
from napari_promptseg.errors import InputError
from napari_promptseg.evaluation.simulated_user import SimulatedUser
from napari_promptseg.learning.anchored import (
    BIAS_PENALTY,
    Examples,
    Gram,
    LinearChange,
    Solution,
    balanced_weights,
    fit_change,
    solve,
)
from napari_promptseg.learning.anchored_fit import choose_penalty
from napari_promptseg.learning.corrections import Corrections, Stroke
from napari_promptseg.learning.learned_classes import cell_values, on_cells
from napari_promptseg.learning.live import LiveLearner, LiveSettings, standing
from napari_promptseg.learning.sampling import sample_points
from napari_promptseg.segmentation.linear_head import class_shares, linear_scores

SHAPE = (64, 96)


def scene(seed: int = 0, fingerprint: str = "f") -> tuple[DenseFeatures, np.ndarray]:
    """Three vertical bands, told apart by their features and some noise."""
    truth = np.zeros(SHAPE, np.int64)
    truth[:, 32:64] = 1
    truth[:, 64:] = 2
    noise = torch.Generator().manual_seed(seed)
    band = torch.arange(24) // 8
    detail = torch.randn(16, 24, 10, generator=noise) * 0.3
    detail[..., :3] += torch.nn.functional.one_hot(band, 3).float() * 2
    semantic = torch.randn(8, 12, 6, generator=noise) * 0.3
    semantic[..., :3] += torch.nn.functional.one_hot(band[::2], 3).float()
    return DenseFeatures(semantic, detail, torch.zeros(6), SHAPE, fingerprint), truth


def strokes(*values: int, number: int = 2) -> Corrections:
    return Corrections().with_added(
        Stroke.from_mask(np.ones((6, 6), bool), v, offset=(10 + 40 * k // number, 32 * v + 12), id=f"{v}{k}")
        for v in values
        for k in range(number)
    )


def test_few_strokes_find_the_bands() -> None:
    features, truth = scene()
    learned = LiveLearner().fit(features, strokes(0, 1, 2), (0, 1, 2))
    labels = learned.label_map(features).labels
    assert (labels == truth).mean() > 0.95


def test_class_without_strokes_keeps_its_words_exactly() -> None:
    features, _ = scene()
    prior = torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(3))
    learned = LiveLearner().fit(features, strokes(0, 1), (0, 1, 2), prior)
    assert learned.learned == (True, True, False)
    assert not learned.weights[2].any()
    assert not learned.bias[2]
    before = LiveLearner().fit(features, Corrections(), (0, 1, 2), prior).logits(features, prior)
    after = learned.logits(features, prior)
    assert torch.equal(after[2], before[2])
    assert not torch.equal(after[1], before[1])


def test_own_pixels_are_as_painted_even_against_everything_learned() -> None:
    features, truth = scene()
    wrong = Stroke.from_mask(np.ones((1, 5), bool), 2, offset=(40, 2))
    corrections = strokes(0, 1, 2).with_added(wrong)
    result = LiveLearner().fit(features, corrections, (0, 1, 2)).label_map(features, corrections=corrections)
    painted = corrections.painted(0, SHAPE)
    assert np.array_equal(result.labels[painted >= 0], painted[painted >= 0])
    assert (result.confidence[painted >= 0] == 1).all()
    assert truth[40, 2] == 0


def test_same_strokes_same_answer_and_no_trace_of_global_random_state() -> None:
    features, _ = scene()
    one = LiveLearner().fit(features, strokes(0, 1), (0, 1))
    np.random.seed(5)  # noqa: NPY002  (what must not matter)
    torch.manual_seed(5)
    two = LiveLearner().fit(features, strokes(0, 1), (0, 1))
    assert torch.equal(one.weights, two.weights)
    assert torch.equal(one.bias, two.bias)


def test_words_that_contradict_the_strokes_do_not_hurt() -> None:
    features, truth = scene()
    wrong = torch.zeros(3, 8, 12)
    wrong[1, :, :4] = wrong[2, :, 4:8] = wrong[0, :, 8:] = 8.0
    learned = LiveLearner().fit(features, strokes(0, 1, 2, number=6), (0, 1, 2), wrong)
    assert learned.prior_weight == 0
    assert (learned.label_map(features, prior=wrong).labels == truth).mean() > 0.95


def test_a_stroke_of_each_class_where_words_are_wrong_leaves_them_right_elsewhere() -> None:
    features, truth = scene()
    detail = features.detail.clone()
    for rows, columns, look in ((slice(10, 14), slice(2, 6), 3), (slice(2, 6), slice(18, 22), 4)):
        detail[rows, columns, :3] = 0
        detail[rows, columns, look] += 2
    spotted = DenseFeatures(features.semantic, detail, torch.zeros(6), SHAPE, "f")
    middle = (torch.arange(12) // 4 == 1).float()
    words = torch.stack([1 - middle, middle])[:, None].expand(2, 8, 12) * 6
    corrections = Corrections().with_added(
        [
            Stroke.from_mask(np.ones((6, 6), bool), 1, offset=(45, 12)),  # one spot, on the left
            Stroke.from_mask(np.ones((6, 6), bool), 0, offset=(12, 76)),  # the other, on the right
        ]
    )
    learned = LiveLearner().fit(spotted, corrections, (0, 1), words)
    labels = learned.label_map(spotted, prior=words).labels
    assert (learned.prior_weight, learned.area_shift) == (1, 0)
    assert (labels[44:50, 10:20] == 1).all(), "the spot that was painted"
    assert (labels == (truth == 1)).mean() > 0.9
    bold = LiveLearner(LiveSettings(enough=1)).fit(spotted, corrections, (0, 1), words)
    assert (bold.label_map(spotted, prior=words).labels == (truth == 1)).mean() < 0.7


def test_strokes_of_several_planes_teach_together() -> None:
    first, _ = scene(1)
    second, truth = scene(2)
    on_first = Corrections(tuple(s for s in strokes(0, 1)))
    on_second = Corrections(
        tuple(Stroke.from_mask(np.ones((4, 4), bool), 2, plane=1, offset=(r, 70), id=f"x{r}") for r in (5, 40))
    )
    both = on_first.with_added(on_second)
    learned = LiveLearner().fit({0: first, 1: second}, both, (0, 1, 2))
    assert learned.learned == (True, True, True)
    assert (learned.label_map(second, plane=1).labels == truth).mean() > 0.9


def test_one_corrected_class_alone_does_not_flood_the_picture() -> None:
    features, _ = scene()
    prior = torch.zeros(2, 8, 12)
    prior[0] += 1.0
    learned = LiveLearner().fit(features, strokes(1), (0, 1), prior)
    labels = learned.label_map(features, prior=prior).labels
    assert (labels[:, 34:62] == 1).mean() > 0.8
    assert (labels[:, :28] == 0).mean() > 0.8


@pytest.mark.parametrize(
    ("values", "words"), [((1, 2), "begin with 0"), ((0, 1, 1), "differ"), ((0, 1), "not in the list")]
)
def test_bad_class_lists_are_refused(values: tuple[int, ...], words: str) -> None:
    features, _ = scene()
    with pytest.raises(InputError, match=words):
        LiveLearner().fit(features, strokes(0, 2), values)


def test_other_models_features_are_refused() -> None:
    learned = LiveLearner().fit(scene()[0], strokes(0, 1), (0, 1))
    with pytest.raises(InputError, match="another model"):
        learned.logits(scene(fingerprint="g")[0])
    with pytest.raises(InputError, match="at least one penalty"):
        LiveSettings(penalties=())
    with pytest.raises(InputError, match="fade"):
        LiveSettings(fade=0)


def test_long_scribble_counts_as_much_as_a_blot() -> None:
    long = Stroke.from_mask(np.ones((2, 90), bool), 1, id="long")
    blot = Stroke.from_mask(np.ones((5, 5), bool), 1, offset=(20, 20), id="blot")
    points = sample_points(Corrections((long, blot)), SHAPE, per_stroke=20)
    assert np.bincount(points.strokes).tolist() == [20, 20]
    alone = sample_points(Corrections((long,)), SHAPE, per_stroke=20)
    assert np.array_equal(alone.columns, points.columns[points.strokes == 0])
    assert np.ptp(alone.columns) > 60, "a stroke is covered from end to end"
    many = Corrections(tuple(Stroke.from_mask(np.ones((1, 9), bool), 1, offset=(r, 0), id=str(r)) for r in range(40)))
    assert len(sample_points(many, SHAPE, per_class=100)) == 80


def test_later_strokes_of_a_class_weigh_less_and_points_of_one_stroke_the_same() -> None:
    drawn = Corrections(
        (
            Stroke.from_mask(np.ones((6, 6), bool), 1, id="first"),
            Stroke.from_pixels([30, 40], [5, 9], 0, kind="point", id="other class"),
            Stroke.from_mask(np.ones((6, 6), bool), 1, offset=(20, 20), id="second"),
            Stroke.from_pixels([50], [50], 0, kind="point", id="after two points"),
        )
    )
    points = sample_points(drawn, SHAPE)
    groups = np.where(points.values == 0, 100 + np.arange(len(points)), points.strokes)
    weights = standing(points, groups, 0.5)
    by_stroke = [set(weights[points.strokes == k]) for k in range(4)]
    assert by_stroke == [{1.0}, {1.0}, {1 / 3}, {1 / 5}]
    assert (standing(points, groups, np.inf) == 1).all()


def test_correcting_what_is_wrong_does_not_undo_what_the_first_strokes_taught() -> None:
    before, after, level = [], [], []
    for seed in range(3):
        noise = torch.Generator().manual_seed(seed)
        truth = np.zeros(SHAPE, np.int64)
        truth[:, 48:] = 1
        detail = torch.randn(16, 24, 10, generator=noise) * 1.5
        detail[..., 0] += 4 * (torch.arange(24) // 12) - 2
        semantic = torch.randn(8, 12, 6, generator=noise) * 1.5
        features = DenseFeatures(semantic, detail, torch.zeros(6), SHAPE, "f")
        user = SimulatedUser(truth, seed)
        first = Corrections().with_added(user.points())
        labels = LiveLearner().fit(features, first, (0, 1)).label_map(features).labels
        both = first.with_added(user.points(labels))
        before.append((labels != truth).mean())
        for found, fade in ((after, LiveSettings().fade), (level, np.inf)):
            learned = LiveLearner(LiveSettings(fade=fade)).fit(features, both, (0, 1))
            found.append((learned.label_map(features).labels != truth).mean())
    assert np.mean(after) < np.mean(before) < np.mean(level)


def test_overpainted_pixels_teach_the_later_class_only() -> None:
    under = Stroke.from_mask(np.ones((4, 4), bool), 1, id="under")
    over = Stroke.from_mask(np.ones((4, 4), bool), 0, id="over")
    points = sample_points(Corrections((under, over)), SHAPE)
    assert set(points.values.tolist()) == {0}


def test_point_values_agree_with_whole_maps() -> None:
    features, _ = scene()
    weights = torch.randn(2, 16, generator=torch.Generator().manual_seed(1))
    maps = linear_scores(features, weights)
    # At centres of fine cells, where interpolation of the fine grid is exact.
    rows, columns = np.array([2, 30, 60]), np.array([2, 50, 90])
    fine = cell_values(features, rows, columns)
    exact = on_cells(maps.permute(1, 2, 0), SHAPE, rows, columns)
    got = fine @ weights.T
    assert (got - exact).abs().max() < 0.35 * exact.abs().max()
    assert np.corrcoef(got.numpy().ravel(), exact.numpy().ravel())[0, 1] > 0.98


def test_class_shares_find_a_rare_class() -> None:
    rng = torch.Generator().manual_seed(0)
    is_rare = torch.rand(20000, generator=rng) < 0.05
    x = torch.randn(20000, generator=rng) + torch.where(is_rare, 1.5, -1.5)
    logits = torch.stack([-1.5 * x, 1.5 * x])
    assert class_shares(logits)[1] == pytest.approx(is_rare.float().mean().item(), abs=0.01)


def examples_of(n: int, width: int, *, seed: int = 0, n_classes: int = 3) -> Examples:
    rng = torch.Generator().manual_seed(seed)
    columns = torch.arange(n) % n_classes
    return Examples(
        torch.randn(n, width, generator=rng, dtype=torch.float64),
        torch.randn(n, n_classes, generator=rng, dtype=torch.float64),
        columns,
        torch.from_numpy(balanced_weights(columns.numpy())),
    )


def energy(examples: Examples, change: LinearChange, penalty: float) -> float:
    logits = change.logits(examples.prior, examples.features)
    losses = torch.nn.functional.cross_entropy(logits, examples.columns, reduction="none")
    kept = penalty * change.weights.square().sum() + BIAS_PENALTY * change.bias.square().sum()
    return float((examples.weights * losses).sum() + 0.5 * kept)


@pytest.mark.parametrize("n", [12, 90], ids=["fewer points than channels", "more than twice as many"])
def test_solution_is_a_minimum_and_leaves_other_classes_alone(n: int) -> None:
    examples, learned = examples_of(n, 30), np.array([True, True, False])
    found = fit_change(examples, learned, 0.1, iterations=500, tolerance=1e-7)
    assert not found.weights[2].any()
    assert not found.bias[2]
    best = energy(examples, found, 0.1)
    rng = torch.Generator().manual_seed(1)
    for _ in range(20):
        step = torch.randn(3, 30, generator=rng, dtype=torch.float64) * torch.tensor([[0.02], [0.02], [0]])
        push = torch.randn(3, generator=rng, dtype=torch.float64) * torch.tensor([0.02, 0.02, 0])
        assert energy(examples, LinearChange(found.weights + step, found.bias + push), 0.1) > best - 1e-9
    usual = fit_change(examples, learned, 0.1)
    assert energy(examples, usual, 0.1) < best * 1.001


def test_problems_solved_together_are_solved_as_well_as_alone() -> None:
    examples = examples_of(24, 60)
    prior, everything = examples.prior.T[None], torch.ones(1, 3, dtype=torch.bool)
    out = torch.ones(24, dtype=torch.float64)
    out[::4] = 0  # a problem in which some points are left out
    weights, penalties = torch.stack([out, torch.ones(24)]), torch.tensor([0.05, 2.0], dtype=torch.float64)
    gram, exact = Gram(examples.features), {"iterations": 500, "tolerance": 1e-8}
    both = solve(gram, prior.repeat(2, 1, 1), examples.columns, weights, penalties, everything.repeat(2, 1), **exact)
    for i in range(2):
        alone = solve(gram, prior, examples.columns, weights[i : i + 1], penalties[i : i + 1], everything, **exact)
        assert torch.allclose(both.shift[i], alone.shift[0], atol=1e-4)
    rest = examples.features[::4] @ (both.coefficients[0] @ examples.features).T
    assert torch.allclose(rest.T, both.shift[0][:, ::4]), "points left out get their logits too"
    assert not both.coefficients[0][:, ::4].any()


@pytest.mark.parametrize("sure", [1.0, 9.0, 60.0])
def test_words_that_are_sure_and_wrong_lead_to_no_wild_step(sure: float) -> None:
    points = examples_of(40, 60, n_classes=2)
    wrong = -sure * torch.nn.functional.one_hot(points.columns, 2).float()
    points = replace(points, features=points.features.float() / 8, prior=wrong)
    everything = np.array([True, True])
    best = fit_change(points, everything, 0.03, iterations=2000, tolerance=1e-7)
    usual = fit_change(points, everything, 0.03)
    assert energy(points, usual, 0.03) < energy(points, best, 0.03) * 1.01
    choice = choose_penalty(Gram(points.features), points, everything, np.arange(40), (0.03, 0.01, 0.1), shares=(0, 1))
    assert np.isfinite(choice.losses).all()
    assert choice.share == 0


def test_a_solved_problem_waits_for_the_others() -> None:
    """In float32 the solved ones' gradients vanish long before the last is solved."""
    x = torch.randn(40, 60, generator=torch.Generator().manual_seed(0))
    columns = torch.arange(40) % 2
    penalties = torch.tensor([1e6, 1e3, 1e-4])
    found = solve(
        Gram(x),
        torch.zeros(3, 2, 40),
        columns,
        torch.ones(3, 40),
        penalties,
        torch.ones(3, 2, dtype=torch.bool),
        iterations=300,
        tolerance=1e-6,
    )
    assert all(torch.isfinite(part).all() for part in found)
    assert (found.shift[0].abs() < 1e-3).all()
    assert (found.shift[2].argmax(0) == columns).all()


def test_start_makes_no_difference_to_the_answer() -> None:
    examples, learned = examples_of(24, 60), np.array([True, True, True])
    start = Solution(*(torch.randn(1, 3, n, dtype=torch.float64) * 0.01 for n in (24, 24)), torch.zeros(1, 3))
    start = start._replace(shift=Gram(examples.features).times(start.coefficients))
    one = fit_change(examples, learned, 0.1, tolerance=1e-8, iterations=500)
    two = fit_change(examples, learned, 0.1, tolerance=1e-8, iterations=500, start=start)
    assert torch.allclose(one.weights, two.weights, atol=1e-5)


def test_left_out_strokes_choose_the_strong_penalty_for_noise() -> None:
    noise = examples_of(60, 40, n_classes=2)
    noise = replace(noise, prior=torch.zeros(60, 2))
    choice = choose_penalty(Gram(noise.features), noise, np.array([True, True]), np.arange(60), (0.001, 30.0))
    assert choice.penalty == 30.0
    assert choice.losses[0, 0] > choice.losses[0, 1]


def test_left_out_strokes_choose_the_words_where_they_are_right() -> None:
    points = examples_of(60, 40, n_classes=2)
    right = 4 * torch.nn.functional.one_hot(points.columns, 2).double()
    for sign, share in ((1, 1), (-1, 0)):
        given = replace(points, prior=sign * right)
        groups, gram = np.arange(60), Gram(points.features)
        choice = choose_penalty(gram, given, np.array([True, True]), groups, (1.0, 30.0), shares=(0.0, 1.0))
        assert choice.share == share


def test_corrected_classes_leave_a_class_without_strokes_its_pixels() -> None:
    features, truth = scene()
    chances = torch.nn.functional.one_hot(torch.arange(12) // 4, 3).float() * 0.8 + 0.1
    prior = chances.T[:, None].expand(3, 8, 12).clamp_min(1e-4).log()
    learned = LiveLearner().fit(features, strokes(0, 1), (0, 1, 2), prior)
    labels = learned.label_map(features, prior=prior).labels
    assert (labels[truth == 2] == 2).mean() > 0.95
    alone = LiveLearner(LiveSettings(witnesses=0)).fit(features, strokes(0, 1), (0, 1, 2), prior)
    share = [float(c.logits(features, prior)[:2].amax(0)[:, 8:].mean()) for c in (learned, alone)]
    assert share[0] < share[1]


def test_witnesses_are_neutral_where_nothing_is_to_be_learned() -> None:
    examples = examples_of(12, 5)
    chances = examples.prior.softmax(1)
    agreed = replace(examples, targets=chances)
    change = fit_change(agreed, np.ones(3, bool), 0.1)
    assert float(change.weights.abs().max()) < 1e-3
    assert float(change.bias.abs().max()) < 1e-3
