"""Occlusion, mutagenesis and prediction differences against loops of a few lines, and on linear models."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores
from support.networks import networks
from support.tolerance import assert_close

from minidl import backend, nn, ops
from minidl.explain import deeplift, perturbation
from minidl.explain.perturbation import in_silico_mutagenesis, occlusion, prediction_difference

seeds = given(seed=st.integers(0, 10_000))


class Small:
    """A network of three outputs with one hidden layer of tanh, over rows of any shape, and rows to ask it about."""

    def __init__(self, seed, shape, n=3):
        rng = np.random.default_rng(seed)
        self.x, self.other = rng.normal(size=(n, *shape)), rng.normal(size=(n, *shape))
        size = int(np.prod(shape))
        self.W, self.V = rng.normal(size=(size, 5)) / size, rng.normal(size=(5, 3)) / 3
        self.target = rng.integers(0, 3, n)

    def __call__(self, x):
        return ops.affine(ops.tanh(ops.affine(ops.reshape(x, (len(x), -1)), self.W)), self.V)

    @property
    def size(self):
        """At least the largest sum of |terms| on the way to an output, for x, others and their mixtures."""
        inner = np.abs(self.x).max() + np.abs(self.other).max()
        return (inner * abs(self.W).sum() + 1) * abs(self.V).sum()

    def alone(self, row, n):
        """The target's number of one row, n its place in the batch."""
        return self(row[None])[0, self.target[n]]


def starts(length, size, step):
    """Windows of one axis, as (start, stop): one step after the other until the end is covered."""
    found, start = [], 0
    while True:
        found.append((start, min(start + size, length)))
        if start + size >= length:
            return found
        start += step


def in_a_loop(x, sizes, steps, difference):
    """The mean of difference(row, index, n) over all windows that an element lies in, element by element."""
    scores = np.zeros_like(x)
    windows = list(product(*map(starts, x.shape[1:], sizes, steps)))
    for n, row in enumerate(x):
        effects = [difference(row, tuple(slice(*ends) for ends in window), n) for window in windows]
        for element in np.ndindex(row.shape):
            inside = [all(a <= e < b for e, (a, b) in zip(element, window, strict=True)) for window in windows]
            scores[n][element] = np.mean([e for e, within in zip(effects, inside, strict=True) if within])
    return scores


@st.composite
def tilings(draw):
    """A shape of rows, window and stride in one of the forms that they may have, and what they are along every axis."""
    shape = draw(st.sampled_from([(5,), (2, 5), (2, 4, 3), (3, 1, 4)]))
    form = draw(st.sampled_from(["int", "positions", "every axis"]))
    positions = shape[1:] or shape
    axes = shape if form == "every axis" else positions
    if form == "int":
        window = draw(st.integers(1, min(positions)))
        sizes = (window,) * len(positions)
    else:
        window = sizes = tuple(draw(st.integers(1, length)) for length in axes)
    stride = draw(st.sampled_from([None, 1, tuple(draw(st.integers(1, size)) for size in sizes)]))
    channels = shape[: len(shape) - len(sizes)]
    sizes = (*channels, *sizes)
    if stride is None:
        steps = sizes
    elif stride == 1:
        steps = (*sizes[: len(shape) - len(positions)], *(1 for _ in positions))
    else:
        steps = (*channels, *stride)
    return shape, dict(window=window, stride=stride), sizes, steps


@pytest.mark.source("deeplift:occlusion")
@given(tiling=tilings(), seed=st.integers(0, 10_000), kind=st.sampled_from(["number", "row", "rows"]))
def test_occlusion_is_the_mean_fall_over_the_windows_that_cover_an_element(tiling, seed, kind):
    shape, form, sizes, steps = tiling
    model = Small(seed, shape)
    fill = {"number": 0.7, "row": model.other[0], "rows": model.other}[kind]
    full = np.broadcast_to(fill, model.x.shape)

    def fall(row, window, n):
        covered = row.copy()
        covered[window] = full[n][window]
        return model.alone(row, n) - model.alone(covered, n)

    result = occlusion(model, model.x, model.target, fill=fill, **form)
    assert_close(result.scores, in_a_loop(model.x, sizes, steps, fall), scale=model.size)
    assert result.expected is None and result.residual is None


@given(network=networks(activations=(), gates=False, winners=False), zero=st.booleans())
def test_on_a_linear_network_a_covered_element_takes_its_contribution_away(network, zero):
    x = network.generic()
    fill = 0.0 if zero else network.reference
    contributions = deeplift(network, x, 0, reference=fill)
    result = occlusion(network, x, 0, window=(1,) * (x.ndim - 1), fill=fill)
    assert_equal_scores(result.scores, contributions.scores, contributions.flow + result.flow)


@pytest.mark.source("deeplift:occlusion", "deeplift:fig3")
@given(i1=st.floats(0.1, 10), i2=st.floats(0.1, 10))
def test_occlusion_gives_the_whole_minimum_to_both_inputs(i1, i2):
    result = occlusion(lambda i: i[:, 0] - ops.relu(i[:, 0] - i[:, 1]), np.array([[i1, i2]]), window=1)
    assert_close(result.scores, np.full((1, 2), min(i1, i2)), scale=i1 + i2)


@pytest.mark.source("deeplift:occlusion", "deeplift:fig1")
def test_occlusion_misses_what_is_saturated():
    def saturated(i):
        return 1 - ops.relu(1 - i[:, 0] - i[:, 1])

    x = np.array([[1.0, 1.0]])
    np.testing.assert_array_equal(occlusion(saturated, x, window=1).scores, [[0, 0]])
    np.testing.assert_array_equal(occlusion(saturated, x, window=2).scores, [[1, 1]])  # both at once


# ------------------------------------------------------------------------------------------------------------ mutations


@st.composite
def sequences(draw):
    """One-hot rows and the axis of their letters."""
    letters, place = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    x = np.eye(letters)[rng.integers(0, letters, (3, place))]  # (N, T, letters)
    axis = draw(st.sampled_from([1, 2, -1]))
    return (x.swapaxes(1, 2) if axis == 1 else x), axis


@pytest.mark.source("deeplift:occlusion")
@given(drawn=sequences(), seed=st.integers(0, 10_000))
def test_mutagenesis_tries_every_letter_in_every_place(drawn, seed):
    x, axis = drawn
    model = Small(seed, x.shape[1:])
    model.x = x
    letters_last = np.moveaxis(x, axis, 2)
    hypothetical = np.zeros_like(letters_last)
    for n, t, letter in np.ndindex(hypothetical.shape):
        mutant = letters_last[n].copy()
        mutant[t] = np.eye(mutant.shape[1])[letter]
        hypothetical[n, t, letter] = model.alone(mutant.T if axis == 1 else mutant, n) - model.alone(x[n], n)
    others = hypothetical.sum(2, keepdims=True) / (hypothetical.shape[2] - 1)
    result = in_silico_mutagenesis(model, x, model.target, axis=axis)
    assert_close(np.moveaxis(result.hypothetical, axis, 2), hypothetical, scale=model.size)
    assert_close(np.moveaxis(result.scores, axis, 2), -others * letters_last, scale=model.size)
    assert (result.hypothetical[x == 1] == 0).all()
    assert result.expected is None


@pytest.mark.source("deeplift:occlusion")
@given(drawn=sequences(), seed=st.integers(0, 10_000))
def test_on_a_linear_model_a_mutation_trades_one_weight_for_another(drawn, seed):
    x, axis = drawn
    w = np.random.default_rng(seed).integers(-8, 9, x.shape[1:]) * 0.5  # sums of these are exact
    result = in_silico_mutagenesis(lambda h: (h * w).sum((1, 2)), x, axis=axis)
    np.testing.assert_array_equal(result.hypothetical, w - (w * x).sum(axis, keepdims=True))


# ------------------------------------------------------------------------------------------- differences of predictions


def odds(p):
    return np.log(p) - np.log1p(-p)


def probabilities(model, x):
    z = model(x)
    return np.exp(z) / np.exp(z).sum(1, keepdims=True)


def evidence(model, rows):
    """difference(row, window, n) in plain probabilities, with every row of `rows` standing for the window once."""

    def difference(row, window, n):
        variants = np.repeat(row[None], len(rows), 0)
        variants[(slice(None), *window)] = rows[(slice(None), *window)]
        p, without = (probabilities(model, v)[:, model.target[n]] for v in (row[None], variants))
        return odds(p[0]) - odds(without.mean())

    return difference


@pytest.mark.source("deeplift:prediction-difference")
@given(tiling=tilings(), seed=st.integers(0, 10_000))
def test_with_every_row_drawn_once_the_evidence_is_the_exact_marginals(tiling, seed):
    shape, form, sizes, steps = tiling
    model = Small(seed, shape)
    result = prediction_difference(model, model.x, model.target, background=model.other, samples=3, rng=seed, **form)
    # an error of 1 - p counts as often as 1 - p goes into 1; no logit is beyond the largest sum of a column of |V|
    scale = model.size * (1 + np.exp(2 * abs(model.V).sum(0).max()))
    assert_close(result.scores, in_a_loop(model.x, sizes, steps, evidence(model, model.other)), scale=scale)
    p = probabilities(model, model.x)[np.arange(3), model.target]
    assert_close(result.output, odds(p), scale=scale)
    assert result.expected is None


@pytest.mark.source("deeplift:prediction-difference")
@given(tiling=tilings(), seed=st.integers(0, 10_000))
def test_against_a_single_row_the_evidence_is_occlusion_in_log_odds(tiling, seed):
    shape, form, *_ = tiling
    model = Small(seed, shape)

    def log_odds(z):
        return z[:, 1] - ops.logsumexp(ops.concat([z[:, :1], z[:, 2:]], 1), 1)

    result = prediction_difference(model, model.x, 1, background=model.other[:1], rng=0, **form)
    covered = occlusion(model, model.x, log_odds, fill=model.other[0], **form)
    assert_close(result.scores, covered.scores, scale=model.size)
    assert_close(result.output, covered.output, scale=model.size)


@given(seed=st.integers(0, 10_000))
def test_any_other_target_is_compared_with_its_mean(seed):
    rng = np.random.default_rng(seed)
    x, background, w = rng.normal(size=(2, 5)), rng.normal(size=(7, 5)), rng.normal(size=(5, 2))
    expected = (x - background.mean(0)) * w[:, 0]
    options = dict(window=1, background=background, samples=7, rng=0)
    for model, target in ((w[:, :1], None), (w, [1.0, 0.0]), (w, lambda y: y[:, 0])):
        result = prediction_difference(lambda h, w=model: ops.affine(h, w), x, target, **options)
        assert_close(result.scores, expected, scale=2 * abs(x).max() * abs(w).sum() + abs(background @ abs(w)).max())


@pytest.mark.source("deeplift:prediction-difference")
def test_probabilities_that_round_to_zero_and_one_leave_the_evidence_exact():
    def logits(x):
        return ops.concat([x, 0 * x], 1)  # ln odds of class 0: x itself

    x = np.array([[800.0], [-800.0]])
    with np.errstate(all="raise", under="ignore"):
        result = prediction_difference(logits, x, 0, window=1, background=[[800.0], [-800.0]], samples=2, rng=0)
    np.testing.assert_array_equal(result.output, [800, -800])
    np.testing.assert_array_equal(result.scores, [[800], [-800]])  # half of the draws are certain, so the mean is 1/2


def test_draws_are_different_rows_for_each_window_and_every_set_of_them_comes():
    background = 2.0 ** np.arange(4)[:, None] * np.ones(2)
    sums = {a + b for a, b in combinations(background[:, 0], 2)}
    seen, equal = set(), 0
    for seed in range(60):  # each of the 6 pairs is missed with probability (5/6)^60, 2e-5
        options = dict(window=1, background=background, samples=2)
        result = prediction_difference(lambda x: x.sum(1), np.zeros((1, 2)), rng=seed, **options)
        again = prediction_difference(lambda x: x.sum(1), np.zeros((1, 2)), rng=np.random.default_rng(seed), **options)
        np.testing.assert_array_equal(result.scores, again.scores)
        a, b = -2 * result.scores[0]
        seen |= {a, b}
        equal += a == b
    assert seen == sums
    assert equal < 30  # windows draw apart: 10 expected of 60, with a standard deviation of 3


# ---------------------------------------------------------------------------------------------------------- all of them


def everything(model, x, target, chunk=None):
    """Every method on one-hot rows (N, 4, T), which all of them accept."""
    background = np.eye(4)[np.random.default_rng(7).integers(0, 4, (6, x.shape[2]))].swapaxes(1, 2)
    yield occlusion(model, x, target, window=(2, 2), stride=1, fill=0.25, chunk=chunk)
    yield in_silico_mutagenesis(model, x, target, chunk=chunk)
    yield prediction_difference(model, x, target, window=2, background=background, samples=3, rng=0, chunk=chunk)


def one_hot_rows(seed, dtype=np.float64):
    model = Small(seed, (4, 5), n=4)
    model.x = np.eye(4, dtype=dtype)[np.random.default_rng(seed).integers(0, 4, (4, 5))].swapaxes(1, 2)
    return model


@given(seed=st.integers(0, 10_000), chunk=st.sampled_from([1, 2, 7, 1000]))
def test_how_many_changes_are_asked_about_at_once_does_not_matter(seed, chunk):
    model = one_hot_rows(seed)
    ours = everything(model, model.x, model.target, chunk)
    for parts, whole in zip(ours, everything(model, model.x, model.target), strict=True):
        assert_close(parts.scores, whole.scores, scale=model.size)


@seeds
def test_a_row_is_explained_as_if_it_were_alone(seed):
    model = one_hot_rows(seed)
    together = list(everything(model, model.x, model.target))
    for n in range(4):
        alone = everything(model, model.x[n : n + 1], int(model.target[n]))
        for one, all_of_them in zip(alone, together, strict=True):
            assert_close(one.scores[0], all_of_them.scores[n], scale=model.size)


@seeds
def test_a_difference_of_classes_has_the_difference_of_their_scores(seed):
    model = one_hot_rows(seed)
    weights = np.random.default_rng(seed).normal(size=(4, 3))
    for method, options in ((occlusion, dict(window=2)), (in_silico_mutagenesis, {})):
        by_weights = method(model, model.x, weights, **options).scores
        each = [method(model, model.x, c, **options).scores * weights[:, c, None, None] for c in range(3)]
        assert_close(by_weights, sum(each), scale=model.size * abs(weights).sum())


def test_float32_stays_float32():
    model = one_hot_rows(0, np.float32)
    model.W, model.V = model.W.astype(np.float32), model.V.astype(np.float32)
    exact = one_hot_rows(0)
    ours = everything(model, model.x, model.target)
    for result, double in zip(ours, everything(exact, exact.x, exact.target), strict=True):
        for name in ("scores", "output", "absorbed", "flow", "hypothetical"):
            if getattr(result, name) is not None:
                assert getattr(result, name).dtype == np.float32, (result.method, name)
        assert_close(result.scores, double.scores, scale=exact.size)


def test_every_array_module_gives_numpys_numbers(xp):
    model, there = one_hot_rows(3), one_hot_rows(3)
    there.W, there.V = xp.asarray(model.W), xp.asarray(model.V)
    moved = everything(there, xp.asarray(model.x), model.target)
    for ours, theirs in zip(moved, everything(model, model.x, model.target), strict=True):
        for name in ("scores", "output", "absorbed", "flow", "hypothetical"):
            if getattr(theirs, name) is not None:
                assert backend.xp(getattr(ours, name)) is xp, (ours.method, name)
                assert_close(backend.to_numpy(getattr(ours, name)), getattr(theirs, name), scale=model.size)


def test_the_model_is_asked_about_a_bounded_number_of_variants(monkeypatch):
    asked = []

    def model(x):
        asked.append(len(x))
        return x.sum((1, 2))

    x = np.eye(4)[np.zeros((3, 8), int)].swapaxes(1, 2)  # 96 numbers
    occlusion(model, x, window=1, chunk=3)
    assert asked == [3, 9, 9, 6]
    asked.clear()
    monkeypatch.setattr(perturbation, "NUMBERS", 500)
    for _ in everything(model, x, None):
        pass
    assert max(asked) == 5 * 3  # variants of 96 numbers each
    asked.clear()
    monkeypatch.setattr(perturbation, "NUMBERS", 50)
    occlusion(model, x, window=4)
    assert asked == [3, 3, 3]


# ------------------------------------------------------------------------------------------------------------- refusals

X = np.ones((2, 3, 4, 4))


def total(x):
    return x.sum((1, 2, 3))


@pytest.mark.parametrize(
    "options, sentence",
    [
        (dict(window=0), "window must be an int of at least 1 or a tuple of these, got 0"),
        (dict(window=(2, 1.5)), r"window must be an int of at least 1 or a tuple of these, got \(2, 1.5\)"),
        (
            dict(window=(2, 2, 2, 2)),
            r"window must have a number for each of the 3 axes of x behind the rows', or for all of them but the "
            r"channels', got \(2, 2, 2, 2\)",
        ),
        (dict(window=5), r"window must fit the axes of x behind the rows', \(3, 4, 4\), got \(3, 5, 5\)"),
        (dict(window=2, stride=0), "stride must be an int of at least 1 or a tuple of these, got 0"),
        (dict(window=2, stride=(3, 1)), r"stride must be at most the window, \(3, 2, 2\), .* got \(3, 3, 1\)"),
        (dict(window=2, fill=[1.0, 2.0, 3.0]), r"fill must be a number or broadcast to the shape of x, .* got \(3,\)"),
        (dict(window=2, fill=np.nan), "fill holds NaN or infinite values"),
        (dict(window=2, chunk=0), "chunk must be an int of at least 1, got 0"),
        (dict(window=2, chunk=2.0), "chunk must be an int of at least 1, got 2.0"),
    ],
)
def test_what_occlusion_refuses(options, sentence):
    with pytest.raises(ValueError, match=f"occlusion: {sentence}"):
        occlusion(total, X, **options)


def test_a_stride_beyond_a_window_that_is_the_whole_axis_leaves_nothing_out():
    np.testing.assert_array_equal(occlusion(total, X, window=(3, 4, 4), stride=(5, 5, 5)).scores, np.full(X.shape, 48))


@pytest.mark.parametrize(
    "options, error, sentence",
    [
        (dict(background=X[:, :2]), ValueError, r"background must hold rows .* of x, \(3, 4, 4\), got \(2, 2, 4, 4\)"),
        (dict(background=X[:0]), ValueError, r"background must hold rows .* got \(0, 3, 4, 4\)"),
        (dict(background=X * np.inf), ValueError, "background holds NaN or infinite values"),
        (dict(background=X, samples=0), ValueError, "samples must be an int of at least 1, got 0"),
        (dict(background=X, rng=None), TypeError, "rng must be a numpy.random.Generator or an int >= 0, got None"),
        (dict(background=X, target=0), ValueError, r"a class has odds among two or more, .* shape \(2, 1\); leave"),
    ],
)
def test_what_prediction_difference_refuses(options, error, sentence):
    options = dict(window=2, rng=0) | options
    with pytest.raises(error, match=f"prediction_difference: {sentence}"):
        prediction_difference(lambda x: ops.reshape(total(x), (-1, 1)), X, **options)


@pytest.mark.parametrize(
    "x, axis, sentence",
    [
        (np.ones((2, 4, 5)), 1, "x is not one-hot along axis 1"),
        (np.ones((2, 1, 5)), 1, r"2 or more letters along axis 1, got shape \(2, 1, 5\)"),
        (np.ones((2, 4, 0)), 1, r"x must have places, and 2 or more letters along axis 1, got shape \(2, 4, 0\)"),
        (np.ones((2, 4, 5)), 0, r"axis must be an axis of x behind the rows', got 0 for shape \(2, 4, 5\)"),
        (np.ones((2, 4, 5)), 3, r"axis must be an axis of x behind the rows', got 3"),
    ],
)
def test_what_mutagenesis_refuses(x, axis, sentence):
    with pytest.raises(ValueError, match=f"in_silico_mutagenesis: .*{sentence}"):
        in_silico_mutagenesis(lambda h: h.sum((1, 2)), x, axis=axis)


def test_models_that_cannot_be_asked_about_variants():
    sentence = "occlusion: the model's output for a variant of x holds NaN or infinite values"
    with np.errstate(divide="ignore"), pytest.raises(ValueError, match=sentence):
        occlusion(lambda x: 1 / total(x), X, window=4)
    network = nn.Sequential(nn.Conv2d(3, 2, 3, rng=0), nn.BatchNorm2d(2), nn.Flatten(), nn.Dense(8, 2, rng=0))
    x = X.astype(np.float32)
    with pytest.raises(ValueError, match=r"layer 1 BatchNorm2d takes its statistics from the batch, .* model.eval\(\)"):
        occlusion(network, x, 0, window=2)
    network.eval()
    occlusion(network, x, 0, window=2)

    def two_rows(x):
        return ops.reshape(x, (2, -1)).sum(1)

    with pytest.raises(ValueError, match=r"asked about 8 rows, variants of the 2 rows .* \(chunk=1\)") as caught:
        occlusion(two_rows, X, window=2)
    assert "the model answers with shape (2,)" in str(caught.value.__cause__)
    assert_close(occlusion(two_rows, X, window=2, chunk=1).scores, occlusion(total, X, window=2).scores, scale=48)
