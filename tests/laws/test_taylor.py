"""Taylor decomposition: what its scores sum to, what it leaves out, and the roots around which it is taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.networks import networks
from support.tolerance import assert_close, difference, rounding

from minidl import Tensor, backend, grad, ops
from minidl.explain import taylor
from minidl.explain.taylor import Decision, above_half, bisection, nearest_root, taylor_decomposition

seeds = given(seed=st.integers(0, 10_000))

# Figure 3: a boundary that is near on one side of X, while the hill on another side decides the gradient there.
CENTRES, HEIGHTS, WIDTHS = [[2.0, 0.0], [-1.0, 0.0], [0.0, -2.5]], [2.5, 1.0, -1.5], [0.8, 1.5, 1.0]
X = np.array([[0.7, -0.2]])


def hills(x):
    """Three Gaussian bumps on the plane, the last a hollow, less 0.3: (N, 2) to (N, 1)."""
    d = ops.reshape(x, (-1, 1, 2)) - np.array(CENTRES)
    bumps = ops.exp((d * d).sum(2) * (-0.5 / np.array(WIDTHS) ** 2))
    return ops.affine(bumps, np.array(HEIGHTS)[:, None], np.array([-0.3]))


def sphere(x):
    return (x * x).sum(1) - 4.0


def tanh_network(seed, n_in=3):
    rng = np.random.default_rng(seed)
    W, b, V, c = rng.normal(size=(n_in, 6)), rng.normal(size=6), rng.normal(size=(6, 3)), rng.normal(size=3) * 0.3
    return lambda h: ops.affine(ops.tanh(ops.affine(h, W, b)), V, c)


def decided(seed, dtype=np.float64):
    """A smooth model of one number a row, rows close to its boundary, and candidates, half of them on either side."""
    rng = np.random.default_rng(seed)
    candidates, noise = 2 * rng.normal(size=(8, 3)), 0.1 * rng.normal(size=(5, 3))
    W, b, v = 0.5 * rng.normal(size=(3, 6)), rng.normal(size=6), rng.normal(size=(6, 1))
    values = (np.tanh(candidates @ W + b) @ v)[:, 0]
    middle = np.median(values)
    low, high = candidates[values.argmin()], candidates[values.argmax()]
    way = low + np.linspace(0, 1, 201)[:, None] * (high - low)
    crossing = way[abs(np.tanh(way @ W + b) @ v - middle).argmin()]
    W, b, v, middle = (a.astype(dtype) for a in (W, b, v, middle))

    def model(h):
        return ops.affine(ops.tanh(ops.affine(h, W, b)), v) - middle

    model.size = float(abs(v).sum() + abs(middle))
    return model, (crossing + noise).astype(dtype), candidates.astype(dtype)


def roots_of(finder, model, x, target=None):
    """All sets of roots (R, N, ...), and which rows have one (R, N)."""
    sets = list(finder(Decision(model, x, target)))
    return np.stack([points for points, _ in sets]), np.stack([found for _, found in sets])


def slope_at(model, points, target=0):
    source = Tensor(points)
    y = model(source)
    return grad(y if y.ndim == 1 else y[:, target], source, upstream=np.ones(len(points)))


def length(a):
    return np.linalg.norm(a, axis=-1)


# ---- scores and residuum ----------------------------------------------------------------------------------------


@pytest.mark.source("lrp:eq18", "lrp:eq53")
@seeds
def test_on_a_linear_model_any_root_explains_all_of_the_output(seed):
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(4, 5)), rng.normal(size=(5, 3)), rng.normal(size=3)
    w = W[:, 1]
    anywhere = rng.normal(size=(2, 4, 5))
    roots = anywhere - ((anywhere @ w + b[1]) / (w @ w))[..., None] * w  # projected onto the plane of roots
    for sets in (roots[0], roots):
        result = taylor_decomposition(lambda h: ops.affine(h, W, b), x, 1, roots=sets)
        size = (abs(x) @ abs(w) + abs(roots).max(0) @ abs(w) + abs(b[1])).max()
        assert_close(result.scores, (x - (roots.mean(0) if sets.ndim == 3 else sets)) * w, scale=size)
        assert_close(result.scores.sum(1), result.output, scale=size)
        assert_close(result.residual, np.zeros(4), scale=size)
        assert_close(result.reference_output, np.zeros(4), scale=size)


@pytest.mark.source("lrp:eq17")
@seeds
def test_what_a_quadratic_leaves_out_is_its_quadratic_form_at_any_point(seed):
    rng = np.random.default_rng(seed)
    x, points, A, b = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(4, 4)), rng.normal(size=4)

    def f(h):
        return (h * (h @ A)).sum(1) + (h * b).sum(1) - 1.0

    result, d = taylor_decomposition(f, x, roots=points), x - points
    size = 10 * (abs(x) + abs(points)).max() ** 2 * (abs(A).sum() + abs(b).sum()) + 1
    assert_close(result.residual, np.einsum("ni,ij,nj->n", d, A, d), scale=size)
    assert_close(result.reference_output, f(points), scale=size)
    assert_close(result.expected, f(x) - f(points), scale=size)


@pytest.mark.source("lrp:eq17", "lrp:eq53")
@given(network=networks(activations=["tanh", "sigmoid", "softplus"], winners=False), target=st.integers(0, 1))
def test_the_scores_sum_to_the_slope_of_f_on_the_way_from_the_root(network, target):
    x, points = network.x, np.repeat(network.reference, len(network.x), 0)
    result = taylor_decomposition(network, x, target, roots=points)
    assert_close(result.scores.sum(tuple(range(1, x.ndim))) + result.residual, result.expected, scale=result.flow)
    for n in range(len(x)):
        slope, tolerance = difference(
            lambda t, n=n: network(points + t * (x - points))[n, target], 1 + float(result.flow[n])
        )
        assert abs(result.scores[n].sum() - slope) <= tolerance


@pytest.mark.source("lrp:eq53")
@seeds
def test_in_a_network_of_one_layer_the_slopes_are_those_of_the_chain_rule(seed):
    rng = np.random.default_rng(seed)
    x, x0 = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    W, b, v = rng.normal(size=(3, 6)), rng.normal(size=6), rng.normal(size=(6, 1))
    result = taylor_decomposition(lambda h: ops.affine(ops.tanh(ops.affine(h, W, b)), v), x, 0, roots=x0)
    slopes = (v[:, 0] * (1 - np.tanh(x0 @ W + b) ** 2)) @ W.T  # eq 54
    assert_close(result.scores, (x - x0) * slopes, scale=abs(x - x0).max() * (abs(W) @ abs(v)).max())


@pytest.mark.source("lrp:eq18")
@pytest.mark.parametrize("keep", [None, 1, 2, 4, 9])
@seeds
def test_roots_are_averaged_or_those_with_the_smallest_residuum(keep, seed):
    rng, model = np.random.default_rng(seed), tanh_network(seed)
    x, points = rng.normal(size=(3, 3)), rng.normal(size=(4, 3, 3))
    points[2] = points[0]  # a tie
    each = [taylor_decomposition(model, x, 0, roots=p) for p in points]
    result = taylor_decomposition(model, x, 0, roots=points, keep=keep)
    residua = np.stack([e.residual for e in each])
    for n in range(3):
        best = np.argsort(abs(residua[:, n]), kind="stable")[:keep]
        for name in ("scores", "reference_output", "expected", "residual"):
            mean = np.mean([getattr(each[k], name)[n] for k in best], 0)
            assert_close(getattr(result, name)[n], mean, scale=1 + abs(mean).max())
    assert_close(result.residual, result.expected - result.scores.sum(1), scale=result.flow)


def test_the_residuum_is_printed():
    result = taylor_decomposition(sphere, np.array([[3.0, 0.0]]), roots=np.array([[2.0, 0.0]]))
    assert str(result) == "scores 4 = output 5 - reference output 0 (residual 1e+00)"
    assert result.method == "taylor_decomposition"


# ---- roots by bisection -----------------------------------------------------------------------------------------


@pytest.mark.source("lrp:eq18")
@seeds
def test_bisection_finds_the_root_on_each_segment_to_a_candidate_of_the_other_sign(seed):
    rng = np.random.default_rng(seed)
    x, candidates, W, b = rng.normal(size=(4, 3)), rng.normal(size=(7, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)
    target = rng.integers(0, 2, 4)
    candidates[:4] = 20 * np.concatenate([W.T, -W.T]) / length(W.T).min()  # both signs for both targets

    def f(points, n):
        return points @ W[:, target[n]] + b[target[n]]

    roots, found = roots_of(bisection(candidates), lambda h: ops.affine(h, W, b), x, target)
    for k, n in np.ndindex(7, 4):
        here, there = f(x[n], n), f(candidates[k], n)
        assert found[k, n] == (here * there < 0)
        if found[k, n]:  # f is linear, so the root parts the segment as f does
            expected = (there * x[n] - here * candidates[k]) / (there - here)
            size = (abs(x[n]) + abs(candidates[k])).max()
            steep = (abs(W[:, target[n]]) @ (abs(x[n]) + abs(candidates[k])) + abs(b).max()) / abs(there - here)
            assert_close(roots[k, n], expected, scale=size * (1 + steep))


@pytest.mark.source("lrp:eq18")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@seeds
def test_at_roots_f_is_0_up_to_the_rounding_of_points_and_terms(dtype, seed):
    model, x, candidates = decided(seed, dtype)
    for finder in (bisection(candidates), nearest_root(200, 1e-2)):
        roots, found = roots_of(finder, model, x)
        for points, rows in zip(roots, found):
            size = (abs(slope_at(model, points)) * (abs(x) + abs(candidates).max(0) + abs(points))).sum(1)
            assert points.dtype == dtype
            assert (abs(model(points)[:, 0]) <= rounding(dtype, size + model.size))[rows].all()


@seeds
def test_pairs_in_blocks_give_the_roots_that_they_give_at_once(seed):
    model, x, candidates = decided(seed)
    at_once = roots_of(bisection(candidates), model, x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(taylor, "NUMBERS", 2 * x.size)
        in_blocks = roots_of(bisection(candidates), model, x)
    assert at_once[0].shape == (8, 5, 3)
    np.testing.assert_array_equal(in_blocks[1], at_once[1])
    # another number of rows sums in another order, and the last halvings are decided by roundings
    values = [model(roots.reshape(-1, 3)).reshape(8, 5) * found for roots, found in (at_once, in_blocks)]
    assert_close(*values, scale=model.size)


@seeds
def test_a_row_averages_over_the_candidates_of_the_other_sign_alone(seed):
    model, x, candidates = decided(seed)
    x, candidates = x[:2], candidates[:5]  # four of the eight are on either side
    together = taylor_decomposition(model, x, roots=bisection(candidates))
    best = taylor_decomposition(model, x, roots=bisection(candidates), keep=1)
    for n in range(len(x)):
        opposite = [c for c in candidates if model(c[None]).item() * model(x[n : n + 1]).item() < 0]
        each = [taylor_decomposition(model, x[n : n + 1], roots=bisection(c[None])) for c in opposite]
        for name in ("scores", "residual"):
            values = [getattr(e, name)[0] for e in each]
            k = np.argmin([abs(e.residual[0]) for e in each])
            # roots that differ by roundings have slopes that differ by roundings
            assert_close(getattr(together, name)[n], np.mean(values, 0), scale=10 * model.size)
            assert_close(getattr(best, name)[n], values[k], scale=10 * model.size)


def test_a_root_is_its_own_and_rows_without_a_candidate_are_counted():
    x = np.array([[2.0, 0.0], [3.0, 0.0], [0.0, 1.0]])
    roots, found = roots_of(bisection(np.array([[0.0, 1.5], [5.0, 1.0]])), sphere, x)
    assert found.tolist() == [[True, True, False], [True, False, True]]
    np.testing.assert_array_equal(roots[:, 0], np.repeat(x[:1], 2, 0))
    assert_close(sphere(roots[found]), np.zeros(4), scale=30.0)
    result = taylor_decomposition(sphere, x[:1], roots=nearest_root())
    np.testing.assert_array_equal(result.scores, np.zeros((1, 2)))
    sentence = "bisection: 2 of the 3 rows have no candidate with a prediction of the other sign; pass candidates that"
    with pytest.raises(ValueError, match=sentence):
        taylor_decomposition(sphere, x + np.array([0.5, 0]), roots=bisection(np.array([[9.0, 0.0]])))


def test_a_candidate_that_is_a_root_is_found_to_the_last_bit():
    x, candidates = np.array([[1e3 / 3]]), np.array([[0.1]])
    roots, _ = roots_of(bisection(candidates), lambda h: h[:, 0] - 0.1, x)
    np.testing.assert_array_equal(roots, candidates[None])


def test_of_the_two_last_points_the_one_with_the_smaller_value_is_the_root():
    def jump(h):
        slope = h[:, 0] - 0.3
        return ops.where(slope > 0, 5.0 - slope, 30.0 * slope - 0.1)

    x = np.array([[1.0], [0.0]])
    (to_0, to_1), found = roots_of(bisection(x[::-1]), jump, x)
    assert found.tolist() == [[True, False], [False, True]]
    assert_close(jump(np.stack([to_0[0], to_1[1]])), np.full(2, -0.1), scale=30.0)


# ---- the nearest root -------------------------------------------------------------------------------------------


@pytest.mark.source("lrp:eq18")
@seeds
def test_on_a_linear_model_the_nearest_root_is_the_orthogonal_projection(seed):
    rng = np.random.default_rng(seed)
    x, w, b = rng.normal(size=(4, 5)), rng.normal(size=(5, 1)), rng.normal(size=1)
    result = taylor_decomposition(lambda h: ops.affine(h, w, b), x, 0, roots=nearest_root())
    off = (x @ w + b) / (w * w).sum()
    size = ((abs(x) @ abs(w) + abs(b)) * (1 + abs(w).max() / abs(w).min())).max()
    assert_close(result.scores, off * w.T * w.T, scale=size)
    assert_close(result.residual, np.zeros(4), scale=size)


@pytest.mark.source("lrp:eq18")
@given(seed=st.integers(0, 10_000), n=st.integers(1, 4), far=st.sampled_from([1e-3, 0.5, 0.99, 1.01, 2, 100]))
def test_on_a_sphere_the_nearest_root_is_the_radial_point(seed, n, far):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(3, n))
    direction /= length(direction)[:, None]
    roots, _ = roots_of(nearest_root(), sphere, 2.0 * far * direction)
    # a way that turns by a rounding ends `far` times as far off
    assert_close(roots[0], 2.0 * direction, scale=2.0 * (1 + far) ** 2)


@pytest.mark.source("lrp:eq18")
def test_on_an_ellipsoid_the_nearest_root_solves_the_secular_equation():
    a, x = np.array([1.0, 5.0, 1.0, 1.0]), np.random.default_rng(0).normal(size=(40, 4)) * [2.0, 10.0, 2.0, 2.0]
    x = x[((x / a) ** 2).sum(1) > 1]
    (roots,), _ = roots_of(nearest_root(20), lambda h: (h * h * a**-2).sum(1) - 1.0, x)
    low, high = np.zeros(len(x)), np.full(len(x), 1e3)
    for _ in range(100):  # the nearest point is a^2 x / (a^2 + t), t > 0 for x outside
        t = (low + high) / 2
        outside = ((a * x / (a**2 + t[:, None])) ** 2).sum(1) > 1
        low, high = np.where(outside, t, low), np.where(outside, high, t)
    nearest = a**2 * x / (a**2 + t[:, None])
    assert len(x) > 20
    # the distance is level at the nearest root: it errs by the square of the angle
    np.testing.assert_allclose(length(roots - x), length(nearest - x), rtol=1e-8)
    assert (length(roots - nearest) <= 1e-3 * length(nearest - x)).all()


def test_steps_that_would_land_beyond_the_boundary_and_beyond_its_end_are_shortened():
    """Twice the Newton step from 2 leads to -11, where f is 1 and flat; its roots lie at the root of ln 2."""
    (roots,), _ = roots_of(nearest_root(), lambda h: (1.0 - 2.0 * ops.exp(-(h * h)))[:, 0], np.array([[2.0], [-1.5]]))
    assert_close(roots[:, 0], np.sqrt(np.log(2)) * np.array([1.0, -1.0]))


@seeds
def test_rows_that_are_roots_but_for_a_few_roundings_are_done(seed):
    rng = np.random.default_rng(seed)
    W, direction = rng.normal(size=(5, 5)), rng.normal(size=(50, 5))
    radius = np.sqrt(3 / ((direction @ W) ** 2).sum(1)) * (1 + 3e-6 * rng.normal(size=50))
    x, W = (direction * radius[:, None]).astype(np.float32), W.astype(np.float32)
    (roots,), found = roots_of(nearest_root(), lambda h: ((h @ W) * (h @ W)).sum(1) - 3.0, x)
    assert found.all() and (length(roots - x) <= 1e-4 * length(x)).all()


@pytest.mark.source("lrp:eq18")
def test_no_point_of_a_grid_on_the_boundary_is_nearer():
    step = 0.02
    axis = np.arange(-4, 4, step)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    above = hills(grid.reshape(-1, 2)).reshape(grid.shape[:2]) > 0
    across = [(above[1:] != above[:-1], [step / 2, 0]), (above[:, 1:] != above[:, :-1], [0, step / 2])]
    edges = np.concatenate([grid[: m.shape[0], : m.shape[1]][m] + half for m, half in across])  # middles of edges cut
    x = np.concatenate([X, [[-3.2, 1.5], [0.5, 1.3], [2.5, -1.0], [-2.0, -1.2], [1.0, -1.7], [3.0, 2.2]]])
    roots, _ = roots_of(nearest_root(), hills, x, 0)
    nearest = np.array([length(edges - point).min() for point in x])
    # a cut edge is half a step from its cut, and the nearest root lies in a square with a cut edge
    assert (abs(length(roots[0] - x) - nearest) <= 1.5 * step).all()


@pytest.mark.source("lrp:eq18")
@seeds
def test_at_the_nearest_root_of_a_smooth_network_the_way_to_x_is_parallel_to_the_gradient(seed):
    model, x, _ = decided(seed)
    roots, _ = roots_of(nearest_root(400, 1e-7), model, x)
    way, slope = x - roots[0], slope_at(model, roots[0])
    upright = abs((way * slope).sum(1)) / (length(way) * length(slope))
    assert (upright >= 1 - 1e-6).all()


def test_the_search_ends_at_a_corner_where_that_is_nearest():
    def square(h):
        return ops.amax(ops.absolute(h), 1) - 1.0

    x = np.array([[3.0, 2.5], [1.2, 5.0], [-2.0, 1.5], [3.0, 0.5], [0.3, 0.1]])
    roots, _ = roots_of(nearest_root(tolerance=1e-9), square, x)
    assert_close(abs(roots[0]).max(1), np.ones(5))
    expected = np.array([[1.0, 1.0], [1.0, 1.0], [-1.0, 1.0], [1.0, 0.5], [1.0, 0.1]])
    # a turn of less than the tolerance is not taken, and the distance from x is level there
    assert (length(roots[0] - x) <= length(expected - x) * (1 + 1e-4)).all()
    assert (length(roots[0] - expected) <= 1e-2).all()


@pytest.mark.parametrize(
    "f, x, finder, sentence",
    [
        (
            lambda h: (h * h).sum(1) + 1.0,
            [[0.5, 1.0], [-0.5, 1.0]],
            nearest_root(30),
            "2 of the 2 rows have no point with a prediction of the other sign within 30 steps down the gradient",
        ),
        (
            lambda h: ops.relu(h).sum(1) - 0.5,
            [[-2.0, -1.0], [-2.0, 1.0]],
            nearest_root(),
            r"1 of the 2 rows have no point .*; allow more steps, or pass such points to bisection\(candidates\)",
        ),
        (
            lambda h: (h * h * [1.0, 9.0]).sum(1) - 1.0,
            [[0.3, 0.2], [0.5, 0.0]],
            nearest_root(1),
            "1 of the 2 rows still came closer to x after 1 steps; allow more steps or a larger tolerance",
        ),
    ],
)
def test_rows_that_come_to_no_root_are_counted(f, x, finder, sentence):
    with pytest.raises(ValueError, match=f"nearest_root: {sentence}"):
        taylor_decomposition(f, np.array(x), roots=finder)


@pytest.mark.source("lrp:fig3")
def test_the_gradient_points_elsewhere_than_to_the_nearest_root_around_which_taylor_explains():
    (root,), _ = roots_of(nearest_root(), hills, X, 0)
    way, slope = X - root, slope_at(hills, X)
    cosine = (way * slope).sum() / (length(way) * length(slope)).item()
    assert cosine < 0.7  # 49 degrees
    # down the gradient the boundary is four times as far as it is nearby
    down = X - np.linspace(0, 4, 4001)[:, None] * slope / length(slope)
    first = np.argmax(hills(down)[:, 0] < 0) * 1e-3
    assert first > 4 * length(way).item()
    result = taylor_decomposition(hills, X, 0, roots=nearest_root())
    by_gradient, by_taylor = (abs(a[0, 0]) / abs(a).sum() for a in (slope, result.scores))  # share of the first pixel
    assert by_gradient > 0.6 and by_taylor < 0.1
    assert abs(result.residual.item()) < 0.2 * result.output.item()


# ---- probabilities ----------------------------------------------------------------------------------------------


@pytest.mark.source("lrp:probability-offset")
@seeds
def test_a_probability_is_explained_against_one_half(seed):
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=2)

    def p(h):
        return ops.sigmoid(ops.affine(h, W, b))

    result = taylor_decomposition(p, x, above_half(1), roots=nearest_root())
    z = x @ W[:, 1] + b[1]
    size = (abs(x) @ abs(W) + abs(b)).max() * (1 + abs(W).max() / abs(W[:, 1]).min())
    assert_close(result.output, 1 / (1 + np.exp(-z)) - 0.5, scale=1.0)
    assert_close(result.reference_output, np.zeros(4), scale=size)
    assert_close(result.scores.sum(1), z / 4, scale=size)  # the slope of the logistic function at 0 is 1/4
    two = taylor_decomposition(lambda h: ops.softmax(ops.affine(h, W, b)), x, above_half(0), roots=nearest_root())
    assert_close(two.scores.sum(1), (x @ W + b) @ [0.25, -0.25], scale=size * 10)
    alone = taylor_decomposition(lambda h: p(h)[:, 1:], x, above_half(), roots=nearest_root())
    np.testing.assert_array_equal(alone.scores, result.scores)


# ---- types, array modules, refusals -----------------------------------------------------------------------------

FINDERS = {
    "points": lambda candidates: candidates[:5],
    "sets of points": lambda candidates: backend.xp(candidates).stack([candidates[:5], candidates[3:]]),
    "bisection": bisection,
    "nearest_root": lambda candidates: nearest_root(200),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("make", FINDERS.values(), ids=FINDERS)
def test_results_are_numpys_and_of_the_type_of_x(xp, make, dtype):
    rng = np.random.default_rng(3)
    x, candidates, W = (rng.normal(size=s).astype(dtype) for s in ((5, 3), (8, 3), (3, 1)))

    def explain(m):
        there = m.asarray(W)
        return taylor_decomposition(
            lambda h: ops.affine(ops.tanh(h), there), m.asarray(x), 0, roots=make(m.asarray(candidates)), keep=2
        )

    ours, theirs = explain(xp), explain(np)
    for name in ("scores", "output", "reference_output", "expected", "residual", "flow"):
        here, expected = getattr(ours, name), getattr(theirs, name)
        assert expected.dtype == dtype and backend.xp(here) is xp, name
        if xp.__name__ == "cupy":
            assert_close(backend.to_numpy(here), expected, scale=10.0)
        else:
            np.testing.assert_array_equal(backend.to_numpy(here), expected)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ({"roots": np.zeros(2)}, r"roots must be points of shape \(1, 2\), or sets of them \(R, 1, 2\), or a finder"),
        ({"roots": np.zeros((3, 2))}, r"got shape \(3, 2\)"),
        ({"roots": np.zeros((0, 1, 2))}, r"got shape \(0, 1, 2\)"),
        ({"roots": np.array([[np.nan, 0.0]])}, "taylor_decomposition: roots hold NaN or infinite values"),
        ({"roots": X, "keep": 0}, "taylor_decomposition: keep must be a positive int, got 0"),
        ({"roots": X, "keep": 1.5}, r"keep must be a positive int, got 1\.5"),
        (
            {"roots": bisection(np.zeros((2, 3)))},
            r"candidates must be points like the rows of x, of shape \('M', 2\), got \(2, 3\)",
        ),
        ({"roots": bisection(np.zeros((0, 2)))}, r"got \(0, 2\)"),
        ({"roots": bisection(np.full((1, 2), np.inf))}, "bisection: candidates hold NaN or infinite values"),
        ({"roots": X, "target": 1}, r"taylor_decomposition: target must lie in 0..0, got 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        taylor_decomposition(hills, X, **arguments)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: bisection(X, steps=0), "bisection: steps must be a positive int, got 0"),
        (lambda: nearest_root(2.0), r"nearest_root: steps must be a positive int, got 2\.0"),
        (lambda: nearest_root(tolerance=0), "nearest_root: tolerance must be an angle above 0 or None, got 0"),
    ],
)
def test_finders_with_bad_settings(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
