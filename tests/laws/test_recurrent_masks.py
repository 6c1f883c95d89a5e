"""Masks that last a sequence, which are draws of weights, against new masks at each step; dropout of word types."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recurrent import CELLS, build, by_hand, sigm
from support.tolerance import assert_close

from minidl import Tensor, backend, grad, nn, ops
from minidl.nn.embedding import occurring

every_cell = pytest.mark.parametrize("kind", sorted(CELLS))
gated = pytest.mark.parametrize("kind", ["gru", "lstm", "lstm-peephole"])
seeds = given(seed=st.integers(0, 10_000))


def batch(seed, n=3, steps=4, width=2):
    return np.random.default_rng([seed, 1]).normal(size=(n, steps, width))


def size(layer, x):
    return 10 * (1 + x.shape[1] * (1 + abs(x).max()) * sum(abs(p.data).sum() for p in layer.parameters().values()))


def passing(width, **options):
    """A linear layer whose outputs are its inputs, so that masks over inputs can be seen."""
    layer = nn.RNN(width, width, "identity", dtype="float64", **options)
    layer.W, layer.U = np.eye(width), np.zeros((width, width))
    return layer


def keeping(width, **options):
    """A linear layer that keeps its state, so that masks over h can be seen: h_t is the product of the masks so far."""
    layer = nn.RNN(1, width, "identity", dtype="float64", **options)
    layer.W, layer.U = np.zeros((1, width)), np.eye(width)
    return layer


# --------------------------------------------------------------------------------------- one draw of weights a sequence


@pytest.mark.source("gal:bayesian-rnn", "gal:eq3.21")
@seeds
def test_masks_are_the_same_at_every_step_and_others_in_every_sequence(seed):
    n, steps, width = 6, 5, 40
    for name in ("p_in", "p_out"):
        y = passing(width, **{name: 0.5})(np.ones((n, steps, width)), rng=seed).data
        np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
        assert set(np.unique(y)) == {0.0, 2.0}
        assert len(np.unique(y[:, 0], axis=0)) == n  # two of 2^40 are equal once in 7e10
    h = keeping(width, p_recurrent=0.5)(np.zeros((n, steps, 1)), state=np.ones((n, width)), rng=seed).data
    np.testing.assert_array_equal(h, h[:, :1] ** np.arange(1, steps + 1)[:, None])
    assert len(np.unique(h[:, 0], axis=0)) == n


def thinned(W, masks):
    """diag(mask) W, for the columns of each gate; one mask (1, n_in) for all of them if tied."""
    parts = np.split(W, len(masks), 1)
    return np.concatenate([mask[:, None] * part for mask, part in zip(masks, parts, strict=True)], 1)


@pytest.mark.source("gal:eq3.21", "gal:bayesian-rnn", "gal:eq3.22", "gal:eq3.23", "gal:gru")
@every_cell
@given(seed=st.integers(0, 10_000), tied=st.booleans())
def test_a_masked_layer_is_one_whose_weights_lose_rows_the_same_ones_at_every_step(kind, seed, tied):
    untied = {} if kind.startswith("rnn") else {"tied": tied}
    layer, x = build(kind, seed, p_in=0.4, p_recurrent=0.4, **untied), batch(seed)
    y = layer(x, rng=seed).data
    drawn = layer.masks(3, 4, np.random.default_rng(seed))
    for n in range(3):
        W, U = thinned(layer.W.data, drawn.inputs[:, n, 0]), thinned(layer.U.data, drawn.recurrent[:, n, 0])
        hs, _ = by_hand(kind, layer, x[n], [np.zeros(3)] * layer.states, W, U)
        assert_close(y[n], hs, scale=size(layer, x))


@pytest.mark.source("gal:eq3.23")
@seeds
def test_tied_weights_are_one_matrix_and_one_mask_over_input_and_state(seed):
    layer, x = build("lstm", seed, p_in=0.4, p_recurrent=0.4), batch(seed)
    drawn = layer.masks(3, 4, np.random.default_rng(seed))
    assert drawn.inputs.shape == (1, 3, 1, 2) and drawn.recurrent.shape == (1, 3, 1, 3)
    WU = np.concatenate([layer.W.data, layer.U.data])
    mask = np.concatenate([drawn.inputs, drawn.recurrent], -1)[0, :, 0]
    h = c = np.zeros((3, 3))
    y = layer(x, rng=seed).data
    for t in range(4):
        z = (np.concatenate([x[:, t], h], 1) * mask) @ WU + layer.b.data
        i, f, o, g = np.split(z, 4, 1)
        c = sigm(f) * c + sigm(i) * np.tanh(g)
        h = sigm(o) * np.tanh(c)
        assert_close(y[:, t], h, scale=size(layer, x))


@pytest.mark.source("gal:eq3.22", "gal:eq3.23")
@gated
@given(seed=st.integers(0, 10_000), scaled=st.booleans())
def test_tied_and_untied_weights_are_one_network_until_something_is_dropped(kind, seed, scaled):
    pair = [build(kind, seed, tied=tied, p_in=0.3, p_recurrent=0.4, scaled=scaled) for tied in (True, False)]
    x = Tensor(batch(seed))
    w = np.random.default_rng(seed).normal(size=(3, 4, 3))
    results = []
    for layer in pair:
        y = layer(x)
        results.append([y.data, *grad(y, [x, layer.W, layer.U, layer.b], upstream=w)])
    for ours, theirs in zip(*results, strict=True):
        assert_close(ours, theirs, scale=size(pair[0], x.data) * abs(w).max())
    gates = {"gru": 3}.get(kind, 4)
    assert len(pair[1].masks(3, 4, np.random.default_rng(seed)).inputs) == gates
    many = pair[1].masks(50, 1, np.random.default_rng(seed)).recurrent[:, :, 0]
    assert all((many[j] != many[k]).any() for j in range(gates) for k in range(j))  # equal once in 2^150


@every_cell
@given(seed=st.integers(0, 10_000), per_step=st.booleans(), scaled=st.booleans())
def test_one_int_gives_one_set_of_masks_and_without_it_nothing_is_drawn(kind, seed, per_step, scaled):
    layer = build(kind, seed, p_in=0.5, p_recurrent=0.5, p_out=0.5, per_step=per_step, scaled=scaled, hidden=20)
    x = batch(seed)
    np.testing.assert_array_equal(layer(x, rng=seed).data, layer(x, rng=seed).data)
    assert (layer(x, rng=seed).data != layer(x, rng=seed + 1).data).any()
    np.testing.assert_array_equal(layer(x).data, layer(x).data)
    if scaled:
        np.testing.assert_array_equal(layer(x).data, build(kind, seed, hidden=20)(x).data)


def test_layers_that_share_a_generator_draw_masks_of_their_own():
    model = nn.Sequential(passing(30, p_in=0.5), passing(30, p_in=0.5))
    y = model(np.ones((2, 3, 30)), rng=0).data
    assert set(np.unique(y)) == {0.0, 4.0} and 0 < (y == 4).mean() < 0.5  # kept by both


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("name, shape", [("inputs", (1, 200, 1, 50)), ("recurrent", (1, 200, 1, 50))])
def test_the_share_that_is_dropped_is_p(p, name, shape):
    mask = getattr(nn.RNN(50, 50, p_in=p, p_recurrent=p).masks(200, 9, np.random.default_rng(0)), name)
    assert mask.shape == shape
    assert abs((mask == 0).mean() - p) < 5 * np.sqrt(p * (1 - p) / mask.size)
    np.testing.assert_allclose(np.unique(mask), [0, 1 / (1 - p)], rtol=1e-6)


@pytest.mark.source("gal:bayesian-rnn")
@every_cell
@given(seed=st.integers(0, 1000), scaled=st.booleans())
def test_without_noise_the_mean_of_each_mask_is_propagated(kind, seed, scaled):
    """Unscaled masks are 0 or 1 with the mean 1 - p, which weights 1 - p times as large stand for; scaled have 1."""
    p = dict(p_in=0.25, p_recurrent=0.5, p_out=0.75)
    layer, x = build(kind, seed, scaled=scaled, **p), batch(seed)
    drawn = layer.masks(3, 4, np.random.default_rng(seed))
    assert set(np.unique(drawn.inputs)) <= ({0, 1 / (1 - 0.25)} if scaled else {0, 1})
    mean = build(kind, seed)
    if not scaled:
        mean.W, mean.U = mean.W.data * (1 - 0.25), mean.U.data * (1 - 0.5)
    expected = mean(x).data * (1 if scaled else 1 - 0.75)
    assert_close(layer(x).data, expected, scale=size(layer, x))


@every_cell
def test_masks_over_outputs_leave_the_state_alone(kind):
    layer, plain, x = build(kind, 0, p_out=0.5), build(kind, 0), batch(0)
    (y, last), (_, expected) = layer.run(x, rng=0), plain.run(x)
    for ours, theirs in zip(last if layer.states > 1 else (last,), expected if layer.states > 1 else (expected,)):
        np.testing.assert_array_equal(ours.data, theirs.data)
    assert (y.data == 0).any()


# ----------------------------------------------------------------------------- ensembles of weights, ensembles of units


def moments(x, w, u, p, per_step):
    """Mean and second moment of h_T of h_t = x_t w + m_t u h_{t-1} over all masks, with their probabilities.

    The operation gets every combination of masks as a sequence of its own.
    """
    T = len(x)
    combinations = np.array(list(product([0.0, 1.0], repeat=T if per_step else 1)))
    probability = np.prod(np.where(combinations == 1, 1 - p, p), 1)
    masks = combinations[None, :, :, None] / (1 - p)
    n = len(combinations)
    z = np.broadcast_to((x * w)[None, :, None], (n, T, 1)).copy()
    h = ops.rnn(z, np.array([[u]]), np.zeros((n, 1)), "identity", masks)[:, -1, 0]
    return (probability * h).sum(), (probability * h * h).sum()


@pytest.mark.source("gal:remark-ensembling")
@given(seed=st.integers(0, 10_000), p=st.floats(0.05, 0.9), T=st.integers(1, 6))
def test_an_ensemble_of_weights_and_one_of_units_are_two_models(seed, p, T):
    """A mask that stays multiplies itself: m^k has the mean (1 - p)^(1 - k), k new ones have the mean 1."""
    rng = np.random.default_rng(seed)
    x, w, u = rng.normal(size=T), rng.normal(), rng.normal()
    k = np.arange(T)[::-1]  # how often x_t passes the recurrent connection
    terms = x * w * u**k
    of_weights, of_units = moments(x, w, u, p, False), moments(x, w, u, p, True)
    grown = np.where(k > 0, (1 - p) ** (1.0 - k), 1)
    scale = abs(terms * grown).sum()
    assert_close(of_weights[0], (terms * grown).sum(), scale=scale)
    assert_close(of_units[0], terms.sum(), scale=scale)
    # second moments, of a single input at the first step: E[m^2k] and E[m^2]^k
    k, first = T - 1, np.eye(T)[0]
    of_weights, of_units = moments(first, w, u, p, False), moments(first, w, u, p, True)
    square = (w * u**k) ** 2
    assert_close(of_weights[1], square * ((1 - p) ** (1.0 - 2 * k) if k else 1), scale=square * (1 - p) ** (-2.0 * T))
    assert_close(of_units[1], square * (1 - p) ** -float(k), scale=square * (1 - p) ** (-2.0 * T))


@pytest.mark.source("gal:remark-ensembling")
@pytest.mark.parametrize("per_step", [False, True])
def test_the_layer_draws_from_the_model_that_it_is_told_to(per_step):
    p, T, n = 0.3, 4, 40_000
    layer = nn.RNN(1, 1, "identity", p_recurrent=p, per_step=per_step, dtype="float64")
    x, w, u = np.array([1.0, -0.5, 2.0, 0.3]), layer.W.data.item(), layer.U.data.item()
    h = layer(np.broadcast_to(x[:, None], (n, T, 1)), rng=0).data[:, -1, 0]
    mean, square = moments(x, w, u, p, per_step)
    assert abs(h.mean() - mean) < 5 * h.std(ddof=1) / np.sqrt(n)
    assert abs((h * h).mean() - square) < 5 * (h * h).std(ddof=1) / np.sqrt(n)
    other = moments(x, w, u, p, not per_step)[0]
    assert abs(h.mean() - other) > 5 * h.std(ddof=1) / np.sqrt(n)


@pytest.mark.source("gal:remark-ensembling")
def test_masks_of_each_step_are_drawn_for_each_step():
    y = passing(40, p_in=0.5, per_step=True)(np.ones((2, 5, 40)), rng=0).data
    assert len(np.unique(y.reshape(10, 40), axis=0)) == 10
    h = keeping(40, p_recurrent=0.5, per_step=True)(np.zeros((2, 5, 1)), state=np.ones((2, 40)), rng=0).data
    assert ((h[:, 0] != 0) & (h[:, 1] == 0)).any()
    y = passing(40, p_out=0.5, per_step=True)(np.ones((2, 5, 40)), rng=0).data
    assert len(np.unique(y.reshape(10, 40), axis=0)) == 10


# ------------------------------------------------------------------------------------------------ dropout of word types


class Counting(np.random.Generator):
    """A generator that counts what it draws."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))
        self.drawn = 0

    def random(self, size=None, dtype=np.float64, out=None):
        values = super().random(size, dtype, out)
        self.drawn += values.size
        return values


def words(p, n_types=100, dim=3, **options):
    layer = nn.Embedding(n_types, dim, p=p, dtype="float64", **options)
    layer.W = 1 + np.arange(n_types * dim).reshape(n_types, dim)
    return layer


@pytest.mark.source("gal:embedding-dropout")
@given(seed=st.integers(0, 10_000), p=st.floats(0.1, 0.9))
def test_a_word_goes_or_stays_wherever_it_stands_in_a_sequence(seed, p):
    ids = np.random.default_rng(seed).integers(0, 4, (5, 12))
    layer = words(p)
    kept = layer(ids, rng=seed).data / layer.W.data[ids]
    assert_close(kept, np.where(kept > 0.5, 1 / (1 - p), 0))
    for row, factors in zip(ids, kept[..., 0], strict=True):
        for word in np.unique(row):
            assert len({round(f, 9) for f in factors[row == word]}) == 1


@pytest.mark.source("gal:embedding-dropout")
def test_both_occurrences_of_a_word_drop_together_with_probability_p():
    p, n = 0.3, 20_000
    ids = np.broadcast_to([7, 3, 7], (n, 3))
    dropped = words(p)(ids, rng=0).data[..., 0] == 0
    for event, probability in ((dropped[:, 0] & dropped[:, 2], p), (dropped[:, 0] & dropped[:, 1], p * p)):
        assert abs(event.mean() - probability) < 5 * np.sqrt(probability * (1 - probability) / n)
    np.testing.assert_array_equal(dropped[:, 0], dropped[:, 2])


@pytest.mark.source("gal:embedding-dropout")
def test_a_type_drops_in_one_sequence_and_stays_in_another():
    dropped = words(0.5)(np.full((60, 2), 5), rng=0).data[..., 0] == 0
    assert 0 < dropped.mean() < 1  # 60 fair coins agree once in 6e17


@pytest.mark.source("gal:embedding-dropout")
@pytest.mark.parametrize("n_types", [10, 100_000])
def test_only_types_that_occur_are_drawn_for(n_types):
    rng = Counting(0)
    words(0.5, n_types)(np.array([[3, 9, 3, 3, 9], [1, 2, 1, 2, 5]]), rng=rng)
    assert rng.drawn == 6  # two sequences of at most three types


@given(seed=st.integers(0, 10_000), n=st.integers(1, 4), steps=st.integers(1, 9))
def test_types_are_numbered_as_unique_numbers_them(seed, n, steps):
    ids = np.random.default_rng(seed).integers(-3, 4, (n, steps))
    for row, numbers in zip(ids, occurring(ids), strict=True):
        np.testing.assert_array_equal(numbers, np.unique(row, return_inverse=True)[1].reshape(-1))


@pytest.mark.source("gal:embedding-dropout")
def test_dropping_types_is_dropping_rows_of_the_table():
    layer, ids = words(0.5, n_types=6), np.array([[0, 5, 2, 0, 3, 1, 4]])
    kept = (layer(ids, rng=3).data[0, :, 0] != 0) * 2.0
    table = layer.W.data.copy()
    table[ids[0]] *= kept[:, None]
    np.testing.assert_array_equal(layer(ids, rng=3).data[0], table[ids[0]])
    (g,) = grad(layer(ids, rng=3).sum(), [layer.W])
    np.testing.assert_array_equal(g[ids[0]], np.broadcast_to((kept * [2, 1, 1, 2, 1, 1, 1])[:, None], (7, 3)))


def test_words_without_noise_and_of_every_shape():
    ids = np.array([1, 2, 1])
    np.testing.assert_array_equal(words(0.5)(ids).data, words(0)(ids).data)
    np.testing.assert_array_equal(words(0.25, scaled=False)(ids).data, 0.75 * words(0)(ids).data)
    assert set(np.unique(words(0.25, scaled=False)(ids, rng=0).data / words(0)(ids).data)) <= {0, 1}
    for shape in ((), (3,), (2, 3), (2, 2, 3), (0, 3), (2, 0)):
        y = words(0.5)(np.ones(shape, int), rng=0)
        assert y.shape == (*shape, 3)
    row = words(0.5)(ids, rng=5).data
    np.testing.assert_array_equal(row, words(0.5)(ids[None], rng=5).data[0])
    assert words(0.5)(ids, rng=0).dtype == np.float64
    assert nn.Embedding(5, 2, p=0.5)(ids, rng=0).dtype == np.float32


def test_words_on_every_array_module(xp):
    ids = np.array([[1, 2, 1], [3, 3, 0]])
    y = words(0.5).to(xp.__name__)(xp.asarray(ids), rng=0)
    np.testing.assert_array_equal(backend.to_numpy(y.data), words(0.5)(ids, rng=0).data)


def test_probabilities_that_are_refused():
    with pytest.raises(ValueError, match=r"Embedding: p, the probability of dropping, must lie in \[0, 1\), got 1"):
        nn.Embedding(5, 2, p=1)
