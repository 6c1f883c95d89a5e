"""Flipping by scores, agreement of explanations, and models that forget: against slow loops, closed forms and scipy."""

import copy
from itertools import permutations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from minidl import Tensor, backend, nn, ops
from minidl.explain import gradient_times_input, saliency
from minidl.explain.comparing import agreement, agreement_table, average_ranks, randomisation_check, randomise
from minidl.explain.erasing import log_odds
from minidl.explain.judging import Curve, flipping_curve

seeds = given(seed=st.integers(0, 10_000))
EPS = np.finfo(np.float64).eps
SIGMAS = 4.5  # a fixed seed passes this with probability 0.99999


def quarters(rng, *shape):
    """Multiples of 1/4: sums and products of a few are exact, in whatever order; zeros and ties are common."""
    return rng.integers(-6, 7, shape) / 4


# --------------------------------------------------------------------------------------------------------- flipping


def two_layers(rng, size, outputs=3):
    W, b, V = quarters(rng, size, 4), quarters(rng, 4), quarters(rng, 4, outputs)
    return lambda x: ops.affine(ops.relu(ops.affine(ops.flatten(x), W, b)), V)


def slow_curve(answer, x, scores, fill, axes, lowest, steps, fraction):
    """The same protocol, one row and one element after the other. axes: those of one row that are flipped together."""
    curves = []
    for row, of_row, filled in zip(x, scores, fill, strict=True):
        groups = {}
        for place in np.ndindex(row.shape):
            groups.setdefault(tuple(0 if a in axes else k for a, k in enumerate(place)), []).append(place)
        value = {g: sum(of_row[p] for p in places) for g, places in groups.items()}
        ordered = sorted(groups, key=lambda g: value[g] if lowest else -value[g])
        last = round(fraction * len(ordered))
        portions = min(steps, last)
        now, curve = row.copy(), []
        for k in range(portions + 1):
            for g in ordered[: k * last // portions]:
                for place in groups[g]:
                    now[place] = filled[place]
            curve.append(answer(now[None])[0])
        curves.append(curve)
    return np.array(curves)


@pytest.mark.source("lrp:mnist")
@given(
    seed=st.integers(0, 10_000),
    order=st.sampled_from(["highest", "lowest"]),
    shape_and_together=st.sampled_from(
        [
            ((7,), None, ()),
            ((2, 2, 3), None, (0,)),
            ((2, 2, 3), (), ()),
            ((3, 4), 2, (1,)),
            ((2, 2, 3), (1, -1), (0, 2)),
        ]
    ),
    filling=st.sampled_from(["number", "array", "invert"]),
    steps=st.integers(1, 9),
    fraction=st.sampled_from([1.0, 0.75, 0.5]),
)
def test_a_curve_is_what_the_slow_loop_notes(seed, order, shape_and_together, filling, steps, fraction):
    shape, together, axes = shape_and_together
    rng = np.random.default_rng(seed)
    x, scores = quarters(rng, 3, *shape), quarters(rng, 3, *shape)
    fill = {"number": -0.5, "array": quarters(rng, *shape), "invert": "invert"}[filling]
    becomes = 2.5 - x if filling == "invert" else np.broadcast_to(fill, x.shape)
    model = two_layers(rng, x[0].size)
    target = np.array([2, 0, 1])
    result = flipping_curve(
        model, x, scores, target,
        order=order, fill=fill, bounds=(-2.0, 4.5), steps=steps, fraction=fraction, together=together,
    )  # fmt: skip
    for k in range(3):
        at = slice(k, k + 1)
        expected = slow_curve(
            lambda v, k=k: model(v)[:, target[k]],
            x[at], scores[at], becomes[at], axes, order == "lowest", steps, fraction,
        )  # fmt: skip
        np.testing.assert_array_equal(result.values[at], expected)


@pytest.mark.source("lrp:mnist")
@seeds
def test_on_a_linear_model_contributions_leave_one_after_the_other(seed):
    rng = np.random.default_rng(seed)
    x, W = quarters(rng, 4, 6), quarters(rng, 6, 1)
    contributions = x * W[:, 0]
    result = flipping_curve(lambda h: ops.affine(h, W), x, contributions)
    np.testing.assert_array_equal(result.drop[:, 1:], np.cumsum(-np.sort(-contributions, axis=1), axis=1))
    np.testing.assert_array_equal(result.drop[:, 0], 0)
    np.testing.assert_allclose(result.fractions, np.arange(7) / 6, rtol=EPS)


@pytest.mark.source("lrp:mnist")
@given(seed=st.integers(0, 10_000), steps=st.integers(2, 5))
def test_no_order_has_more_area_than_highest_first_and_none_less_than_lowest_first(seed, steps):
    rng = np.random.default_rng(seed)
    x, W, orders = quarters(rng, 1, 5), quarters(rng, 5, 1), np.array(list(permutations(range(5))), float)

    def model(h):
        return ops.affine(h, W)

    every = flipping_curve(model, np.repeat(x, len(orders), 0), orders, steps=steps).area
    most, least = (flipping_curve(model, x, x * W[:, 0], order=o, steps=steps).area for o in ("highest", "lowest"))
    slack = 64 * EPS * abs(x * W[:, 0]).sum()
    assert abs(every.max() - most[0]) <= slack and abs(every.min() - least[0]) <= slack


@pytest.mark.source("lrp:mnist")
@seeds
def test_all_orders_end_at_the_input_that_is_flipped_whole(seed):
    rng = np.random.default_rng(seed)
    x, scores = rng.normal(size=(3, 2, 4, 4)), rng.normal(size=(3, 2, 4, 4))
    model = two_layers(rng, 32)
    ends = [flipping_curve(model, x, scores, 1, order=o, fill=0.3, rng=0) for o in ("highest", "lowest", "random")]
    for curve in ends:
        np.testing.assert_array_equal(curve.values[:, -1], model(np.full(x.shape, 0.3))[:, 1])
        np.testing.assert_array_equal(curve.values[:, 0], model(x)[:, 1])
        assert curve.fractions[0] == 0 and curve.fractions[-1] == 1
        assert curve.values.shape == (3, 17)  # sixteen pixels, not 32 numbers


@pytest.mark.parametrize(
    "steps, fraction, counts",
    [(4, 1.0, [0, 2, 5, 7, 10]), (3, 0.6, [0, 2, 4, 6]), (99, 1.0, range(11)), (99, 0.3, range(4)), (1, 0.26, [0, 3])],
)
def test_portions_are_equal_up_to_whole_elements(steps, fraction, counts):
    x = np.ones((1, 10))
    result = flipping_curve(lambda h: h.sum(1), x, x, steps=steps, fraction=fraction)
    np.testing.assert_array_equal(result.fractions, np.array(counts) / 10)
    np.testing.assert_array_equal(result.drop, [counts])


@pytest.mark.source("lrp:mnist")
def test_the_area_is_the_mean_drop():
    straight = Curve(np.array([0, 0.1, 0.3, 0.5]), 7 - np.array([[0, 1, 3, 5.0], [0, 2, 6, 10]]))
    np.testing.assert_allclose(straight.area, [2.5, 5])
    late = Curve(np.array([0, 0.5, 1]), np.array([[3.0, 3, 1]]))
    np.testing.assert_allclose(late.area, [0.5])  # a triangle of base 1/2 and height 2
    np.testing.assert_array_equal(straight.mean(), [7, 5.5, 2.5, -0.5])


@pytest.mark.source("lrp:mnist")
def test_random_orders_differ_by_row_and_lower_a_linear_model_along_a_straight_line():
    n, d = 4000, 8
    rng = np.random.default_rng(0)
    x, W = np.repeat(rng.normal(size=(1, d)), n, 0), rng.normal(size=(d, 1))
    result = flipping_curve(lambda h: ops.affine(h, W), x, x, order="random", rng=1)
    contributions = x[0] * W[:, 0]
    k = np.arange(1, d)
    # k of d drawn without replacement: the variance of their sum
    spread = np.sqrt(k * (1 - k / d) * contributions.var(ddof=1) / n)
    assert (abs(result.drop.mean(0)[1:-1] - contributions.sum() * k / d) <= SIGMAS * spread).all()
    again = flipping_curve(lambda h: ops.affine(h, W), x, -x, order="random", rng=np.random.default_rng(1))
    np.testing.assert_array_equal(result.values, again.values)


@pytest.mark.source("lrp:mnist")
def test_log_odds_are_the_difference_of_two_logits():
    rng = np.random.default_rng(0)
    x, scores, model = quarters(rng, 4, 6), quarters(rng, 4, 6), two_layers(rng, 6)

    def measure(model, x):
        assert model(Tensor(x)).op is None  # nothing is recorded
        return log_odds(model, x, 0, [1, 2, 1, 2])

    noted = flipping_curve(model, x, scores, measure=measure)
    weights = np.array([[1.0, -1, 0], [1, 0, -1], [1, -1, 0], [1, 0, -1]])
    np.testing.assert_array_equal(noted.values, flipping_curve(model, x, scores, weights).values)


@pytest.mark.parametrize("fill", [0.5, np.full((2, 3, 3), 0.25), "invert"], ids=["number", "array", "invert"])
@pytest.mark.parametrize("order", ["highest", "random"])
def test_a_curve_is_the_same_on_every_array_module(xp, fill, order):
    rng = np.random.default_rng(0)
    x, scores, W = rng.random((3, 2, 3, 3)), rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(18, 2))

    def curve(m):
        def model(h):
            return ops.affine(ops.flatten(h), m.asarray(W))

        becomes = m.asarray(fill) if isinstance(fill, np.ndarray) else fill
        return flipping_curve(model, m.asarray(x), m.asarray(scores), [0, 1, 1], fill=becomes, order=order, rng=0)

    assert type(curve(xp).values) is np.ndarray
    np.testing.assert_allclose(curve(xp).values, curve(np).values, atol=64 * EPS * abs(W).sum())


@pytest.mark.parametrize("fill", [np.float64(0.1), np.full(4, 0.1), "invert"], ids=["number", "array", "invert"])
def test_a_model_of_float32_is_asked_in_float32(fill):
    x = np.full((2, 4), 0.5, np.float32)

    def model(h):
        assert h.dtype == np.float32
        return h.sum(1)

    bounds = np.zeros(1)[0], np.ones(1)[0]
    assert flipping_curve(model, x, np.eye(4)[:2], fill=fill, bounds=bounds).values.dtype == np.float32


def test_an_explanation_brings_its_scores():
    rng = np.random.default_rng(0)
    x, model = rng.normal(size=(3, 5)), two_layers(rng, 5)
    explained = gradient_times_input(model, x, 0)
    whole = flipping_curve(model, x, explained, 0)
    np.testing.assert_array_equal(whole.values, flipping_curve(model, x, explained.scores, 0).values)


@pytest.mark.parametrize("asked", [{"target": 0}, {"measure": lambda model, x: log_odds(model, x, 0, 1)}])
def test_a_model_whose_rows_depend_on_each_other_is_refused(asked):
    model = nn.Sequential(nn.Dense(4, 2, dtype="float64"), nn.BatchNorm1d(2, dtype="float64"))
    with pytest.raises(ValueError, match="flipping_curve: layer 1 BatchNorm1d takes its statistics from the batch"):
        flipping_curve(model, X, X, **asked)


X = np.full((2, 4), 0.5)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"scores": np.ones((2, 3))}, r"scores must have the shape of x, \(2, 4\), got \(2, 3\)"),
        ({"scores": np.where(np.eye(4)[:2] == 1, np.nan, X)}, "scores hold NaN or infinite values"),
        ({"order": "largest"}, "order must be one of highest, lowest, random, got 'largest'"),
        ({"order": "random"}, "flipping_curve: rng must be a numpy.random.Generator or an int >= 0, got None"),
        ({"fill": "blur"}, "fill must be a number, an array or \"invert\", got 'blur'"),
        ({"fill": np.ones(3)}, r"fill must be a number or broadcast to the shape of x, \(2, 4\); got \(3,\)"),
        ({"fill": np.inf}, "fill holds NaN or infinite values"),
        (
            {"fill": "invert", "bounds": (0, 0.25)},
            "x must lie within bounds, 0 to 0.25, to be inverted, got 0.5 to 0.5",
        ),
        ({"fill": "invert", "bounds": (1, 2)}, "x must lie within bounds, 1 to 2, to be inverted, got 0.5 to 0.5"),
        ({"steps": 0}, "steps must be an int of at least 1, got 0"),
        ({"steps": 2.0}, "steps must be an int of at least 1, got 2.0"),
        ({"fraction": 0.0}, r"fraction must lie in \(0, 1\], got 0.0"),
        ({"fraction": 1.5}, r"fraction must lie in \(0, 1\], got 1.5"),
        ({"fraction": 0.1}, "a fraction of 0.1 flips none of the 4 elements of a row"),
        ({"together": 0}, r"together must be axes of x behind the rows', got 0 for \(2, 4\)"),
        ({"together": (1, 2)}, r"together must be axes of x behind the rows', got \(1, 2\) for \(2, 4\)"),
        ({"measure": lambda model, x: model(x)[:, 0], "target": 0}, "give a target or a measure, got both"),
        (
            {"measure": lambda model, x: model(x), "target": None},
            r"measure must return one number for each of the 2 rows, got ndarray of shape \(2, 3\)",
        ),
        ({"measure": lambda model, x: 1.0, "target": None}, r"got float of shape None"),
        (
            {"measure": lambda model, x: x[:, 0] * np.nan, "target": None},
            "the model's output holds NaN or infinite values",
        ),
        ({"target": 3}, "flipping_curve: target must lie in 0..2, got 3"),
        ({"fill": 1e308}, "the model's output for a flipped x holds NaN or infinite values"),
    ],
)
def test_what_flipping_refuses(change, sentence):
    settings = {"scores": X, "target": 0} | change
    with np.errstate(all="ignore"), pytest.raises((TypeError, ValueError), match=sentence):
        flipping_curve(lambda x: ops.affine(x, 9 * np.ones((4, 3))), X, **settings)


# -------------------------------------------------------------------------------------------------------- agreement


@seeds
def test_rank_and_linear_agreement_are_spearmans_and_pearsons(seed):
    rng = np.random.default_rng(seed)
    a, b = quarters(rng, 4, 3, 5), quarters(rng, 4, 3, 5)
    flat = list(zip(a.reshape(4, -1), b.reshape(4, -1), strict=True))
    close = {"rtol": 0, "atol": 64 * EPS}
    np.testing.assert_allclose(agreement(a, b), [scipy.stats.spearmanr(*rows)[0] for rows in flat], **close)
    np.testing.assert_allclose(agreement(a, b, "linear"), [scipy.stats.pearsonr(*rows)[0] for rows in flat], **close)


@given(seed=st.integers(0, 10_000), width=st.integers(1, 9), values=st.integers(1, 9))
def test_ties_share_the_mean_of_their_ranks(seed, width, values):
    a = np.random.default_rng(seed).integers(0, values, (5, width)).astype(float)
    np.testing.assert_array_equal(average_ranks(a), scipy.stats.rankdata(a, axis=1) - 1)


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.01, 0.2, 0.5, 1.0]))
def test_top_agreement_counts_what_two_sets_have_in_common(seed, share):
    rng = np.random.default_rng(seed)
    a, b = quarters(rng, 6, 10), quarters(rng, 6, 10) * (rng.random((6, 10)) < 0.4)

    def chosen(row):
        first = sorted(range(10), key=lambda k: -abs(row[k]))[: max(1, round(share * 10))]
        return {k for k in first if row[k] != 0}

    for row_a, row_b, found in zip(a, b, agreement(a, b, "top", share=share), strict=True):
        A, B = chosen(row_a), chosen(row_b)
        equal = any(len(set(abs(row))) == 1 for row in (row_a, row_b))
        expected = 0 if equal else len(A & B) / np.sqrt(len(A) * len(B))
        assert abs(found - expected) <= 64 * EPS


@seeds
def test_what_agreement_does_not_depend_on(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(3, 12)), rng.normal(size=(3, 12))
    for measure, opposite in (("rank", -1), ("linear", -1), ("top", 1)):
        close = {"rtol": 0, "atol": 64 * EPS}
        np.testing.assert_array_equal(agreement(a, b, measure), agreement(b, a, measure))
        np.testing.assert_allclose(agreement(a, a, measure), 1, **close)
        np.testing.assert_allclose(agreement(a, -a, measure), opposite, **close)
        for scale in (1e-300, 1e300):
            np.testing.assert_allclose(agreement(a, b * scale, measure), agreement(a, b, measure), **close)
    np.testing.assert_array_equal(agreement(a, b), agreement(a, np.exp(b)))
    np.testing.assert_allclose(agreement(a, b, "linear"), agreement(a, 4 * b + 1, "linear"), rtol=0, atol=1024 * EPS)


@pytest.mark.parametrize("measure", ["rank", "linear", "top"])
def test_scores_that_are_all_equal_agree_with_nothing(measure):
    rng = np.random.default_rng(0)
    some, equal = rng.normal(size=(3, 7)), np.repeat([[0.1], [0.0], [-3e-320]], 7, 1)
    for a, b in ((some, equal), (equal, some), (equal, equal)):
        np.testing.assert_array_equal(agreement(a, b, measure), 0)
    np.testing.assert_array_equal(agreement(some[:, :1], some[:, :1], measure), 0)


@pytest.mark.parametrize("measure", ["rank", "linear", "top"])
def test_the_table_holds_the_mean_agreement_of_every_two(measure):
    rng = np.random.default_rng(0)
    x, model = rng.normal(size=(4, 10)), two_layers(rng, 10)
    explanations = {"slope": saliency(model, x, 0), "product": gradient_times_input(model, x, 0), "input": x}
    names, table = agreement_table(explanations, measure, share=0.3)
    assert names == ["slope", "product", "input"]
    for name, row in zip(names, table, strict=True):
        pairs = [agreement(explanations[name], e, measure, share=0.3).mean() for e in explanations.values()]
        np.testing.assert_array_equal(row, pairs)
    np.testing.assert_array_equal(table, table.T)


@pytest.mark.parametrize(
    "a, b, settings, sentence",
    [
        (X, X, {"measure": "cosine"}, "agreement: measure must be one of rank, linear, top, got 'cosine'"),
        (X, X, {"share": 0}, r"agreement: share must lie in \(0, 1\], got 0"),
        (X, X[:1], {}, r"agreement: explanations must have scores of one shape, got a \(2, 4\), b \(1, 4\)"),
        (X, np.inf * X, {}, "agreement: the scores of b hold NaN or infinite values"),
    ],
)
def test_what_agreement_refuses(a, b, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        agreement(a, b, **settings)


def test_the_table_names_the_explanation_that_does_not_fit():
    with pytest.raises(ValueError, match=r"agreement_table: .* got lrp \(2, 4\), deeplift \(2, 3\)"):
        agreement_table({"lrp": X, "deeplift": X[:, :3]})
    with pytest.raises(ValueError, match="agreement_table: the scores of deeplift hold NaN or infinite values"):
        agreement_table({"lrp": X, "deeplift": np.nan * X})


# ---------------------------------------------------------------------------------------------------- randomisation


def network(seed=0):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        body=nn.Sequential(nn.Conv2d(1, 3, 3, rng=rng), nn.BatchNorm2d(3), nn.ReLU()),
        flatten=nn.Flatten(),
        top=nn.Dense(12, 4, rng=rng),
    )
    for p in model.parameters().values():
        p.data[...] += rng.normal(size=p.shape)
    return model.eval()


def test_layers_forget_from_the_output_down_and_the_model_passed_in_does_not():
    model = network()
    before, stages = model.state_dict(), list(randomise(model, 3))
    assert [path for path, _ in stages] == ["top", "body.1", "body.0"]
    forgotten, last = set(), before
    for path, randomised in stages:
        forgotten.add(path)
        state = randomised.state_dict()
        for name, array in state.items():
            layer = name.rpartition(".")[0]
            if layer == path and "running" not in name:
                assert not np.isin(array, before[name]).any(), name
                assert array.dtype == before[name].dtype
            else:
                np.testing.assert_array_equal(array, last[name], err_msg=name)
        last = state
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    for (_, first), (_, second) in zip(stages, randomise(model, np.random.default_rng(3)), strict=True):
        for name, array in first.state_dict().items():
            np.testing.assert_array_equal(array, second.state_dict()[name], err_msg=name)


def test_numbers_are_drawn_with_the_mean_and_the_spread_of_the_parameter():
    model = nn.Dense(100, 100, dtype="float64")
    n = model.W.size
    model.W = 3 + 0.5 * np.random.default_rng(0).standard_exponential((100, 100))
    ((path, randomised),) = randomise(model, 1)
    assert path == ""
    old, new = model.W.data, randomised.W.data
    assert abs(new.mean() - old.mean()) <= SIGMAS * old.std() / np.sqrt(n)
    assert abs(new.std() - old.std()) <= SIGMAS * old.std() / np.sqrt(2 * n)
    assert abs(scipy.stats.skew(new, axis=None)) <= SIGMAS * np.sqrt(6 / n)  # normal, as the old ones were not
    np.testing.assert_array_equal(randomised.b.data, 0)


def test_parameters_that_layers_share_are_drawn_once_and_stay_shared():
    shared = nn.Dense(4, 4, rng=0)
    model = nn.Sequential(nn.Dense(4, 4, rng=1), shared, nn.ReLU(), shared, nn.Dense(4, 4, rng=2))
    model[4].W = model[0].W
    stages = list(randomise(model, 0))
    assert [path for path, _ in stages] == ["4", "1", "0"]
    top = stages[0][1]
    assert top[4].W is top[0].W and top[1] is top[3]
    assert not np.isin(top[0].W.data, model[0].W.data).any()
    np.testing.assert_array_equal(stages[-1][1][0].W.data, top[0].W.data)  # not a second time
    within = nn.Sequential(shared, nn.Sequential(nn.ReLU(), shared))
    assert [path for path, _ in randomise(within, 0)] == ["0"]  # the inner one holds no parameter itself


def test_a_model_on_another_array_module_is_randomised_there(xp):
    name = xp.__name__
    there, here = copy.deepcopy(network()).to(name), network()
    for (path, ours), (_, theirs) in zip(randomise(there, 0), randomise(here, 0), strict=True):
        for leaf, array in ours.leaves().items():
            assert backend.xp(array) is xp, (path, leaf)
            np.testing.assert_array_equal(backend.to_numpy(array), theirs.leaves()[leaf])


@pytest.mark.parametrize("measure", ["rank", "linear", "top"])
def test_an_explanation_that_looks_at_no_parameter_passes_for_itself_to_the_end(measure):
    model, x = network(), np.random.default_rng(1).normal(size=(3, 1, 4, 4)).astype(np.float32)
    found = randomisation_check(lambda model, x, target: x, model, x, 0, rng=0, measure=measure)
    assert list(found) == ["top", "body.1", "body.0"]
    for rows in found.values():
        np.testing.assert_allclose(rows, 1, rtol=0, atol=64 * EPS)


def test_the_gradient_of_a_linear_model_that_forgot_agrees_no_more_than_chance():
    d, k = 200, 50
    model, x = nn.Dense(d, k, rng=0, dtype="float64"), np.ones((k, d))
    found = randomisation_check(gradient_times_input, model, x, np.arange(k), rng=1)
    # independent columns of weights: k rank correlations of mean 0 and variance 1 / (d - 1)
    assert abs(found[""].mean()) <= SIGMAS / np.sqrt(k * (d - 1))
    assert abs(found[""].std() - 1 / np.sqrt(d - 1)) <= SIGMAS / np.sqrt(2 * k * (d - 1))


def test_the_gradient_of_a_network_falls_to_chance_as_its_layers_forget():
    d, rng = 1000, np.random.default_rng(0)
    model = nn.Sequential(
        nn.Dense(d, 40, rng=rng), nn.ReLU(), nn.Dense(40, 20, rng=rng), nn.ReLU(), nn.Dense(20, 3, rng=rng)
    )
    for layer in (model[2], model[4]):  # of one sign, so that what they pass on has much in common with what they did
        layer.W = abs(layer.W.data)
    # with equal pixels all orders of the last gradient are as likely as each other: the variance is 1 / (d - 1)
    x = np.repeat(np.linspace(0.5, 2, 6), d).reshape(6, d).astype(np.float32)
    before = model.state_dict()
    found = randomisation_check(gradient_times_input, model, x, 1, rng=0)
    assert list(found) == ["4", "2", "0"]
    assert (found["4"] < 1 - 1e-6).all()
    assert abs(found["0"].mean()) <= SIGMAS / np.sqrt(d - 1) < found["2"].mean() < found["4"].mean()
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    "model, rng, sentence",
    [
        (lambda x: x, 0, "randomise: model must be a Module, whose parameters can be drawn, got function"),
        (nn.ReLU(), 0, "randomise: the model, a ReLU, has no parameters to draw"),
        (nn.Dense(2, 2), None, "randomise: rng must be a numpy.random.Generator or an int >= 0, got None"),
    ],
)
def test_what_randomise_refuses_at_once(model, rng, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        randomise(model, rng)
