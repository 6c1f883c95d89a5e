"""Recurrent layers: their equations step by step, gradients, all passes, states, lengths, long sequences."""

from math import ceil, log2
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_law
from support.gradcheck import check_gradients, gradient_function
from support.recurrent import CELLS, build, by_hand
from support.tolerance import assert_close

from minidl import Tensor, backend, grad, nn, ops
from minidl.explain import deeplift, lrp
from minidl.explain.rules import alpha_beta, basic, epsilon, rescale, reveal_cancel
from minidl.ops import moves
from minidl.ops import recurrent_kernels as kernels
from minidl.ops.recurrent import Lstm, Rnn
from minidl.tape import record, topological

every_cell = pytest.mark.parametrize("kind", sorted(CELLS))
seeds = given(seed=st.integers(0, 10_000))
NOISE = dict(p_in=0.3, p_recurrent=0.4, p_out=0.2)


def batch(seed, n=3, steps=4, width=2):
    return np.random.default_rng([seed, 1]).normal(size=(n, steps, width))


def states(layer, seed, n=3):
    """A state that is not zero, in the form that the layer takes."""
    rng = np.random.default_rng([seed, 2])
    parts = tuple(rng.normal(size=(n, layer.n_hidden)) for _ in range(layer.states))
    return parts if layer.states > 1 else parts[0]


def size(layer, x):
    """At least the largest sum of |terms| that a unit adds up in all its steps."""
    return 1 + x.shape[1] * (1 + abs(x).max()) * sum(abs(p.data).sum() for p in layer.parameters().values())


# -------------------------------------------------------------------------------------------------------- what they are


@pytest.mark.source("gal:bayesian-rnn", "gal:eq3.22", "gal:gru")
@every_cell
@given(seed=st.integers(0, 10_000), steps=st.integers(1, 6))
def test_a_layer_is_its_equations_step_by_step(kind, seed, steps):
    layer, x = build(kind, seed), batch(seed, steps=steps)
    start = states(layer, seed)
    outputs, last = layer.run(x, state=start)
    for n in range(len(x)):
        own = [s[n] for s in (start if layer.states > 1 else (start,))]
        hs, state = by_hand(kind, layer, x[n], own)
        assert_close(outputs.data[n], hs, scale=size(layer, x))
        for ours, theirs in zip(last if layer.states > 1 else (last,), state, strict=True):
            assert_close(ours.data[n], theirs, scale=size(layer, x))


@every_cell
def test_without_a_state_sequences_start_with_zeros(kind):
    layer, x = build(kind, 0), batch(0)
    zeros = np.zeros((3, layer.n_hidden))
    given = layer(x, state=(zeros, zeros) if layer.states > 1 else zeros)
    np.testing.assert_array_equal(layer(x).data, given.data)


def test_parameters_have_the_stated_names_and_shapes():
    shapes = {name: p.shape for name, p in nn.LSTM(3, 5, peephole=True).parameters().items()}
    assert shapes == {"W": (3, 20), "U": (5, 20), "b": (20,), "peephole": (3, 5)}
    assert {name: p.shape for name, p in nn.GRU(3, 5).parameters().items()} == {"W": (3, 15), "U": (5, 15), "b": (15,)}
    assert {name: p.shape for name, p in nn.RNN(3, 5).parameters().items()} == {"W": (3, 5), "U": (5, 5), "b": (5,)}
    assert nn.LSTM(3, 5).peephole is None
    assert repr(nn.RNN(3, 5, p_in=0.5)) == (
        "RNN(n_in=3, n_hidden=5, activation='tanh', p_in=0.5, p_recurrent=0.0, p_out=0.0, scaled=True, per_step=False)"
    )


# ------------------------------------------------------------------------------------------------------------ gradients


@pytest.mark.source("gal:eq3.21")
@every_cell
@given(seed=st.integers(0, 10_000), tied=st.booleans(), per_step=st.booleans(), padded=st.booleans())
def test_gradients_with_frozen_masks_are_finite_differences_to_order_2(kind, seed, tied, per_step, padded):
    untied = {} if kind.startswith("rnn") else {"tied": tied}
    layer = build(kind, seed, hidden=2, per_step=per_step, **NOISE, **untied)
    x, start = batch(seed, n=2, steps=3), states(layer, seed, n=2)
    start = start if layer.states > 1 else (start,)
    names = list(layer.parameters())

    def f(x, *others):
        for name, value in zip(names, others, strict=False):
            setattr(layer, name, value)
        state = others[len(names) :]
        y, last = layer.run(x, state if len(state) > 1 else state[0], [3, 1] if padded else None, rng=seed)
        return ops.concat([y.reshape(-1), *(s.reshape(-1) for s in (last if len(state) > 1 else (last,)))])

    check_gradients(f, x, *(p.data for p in layer.parameters().values()), *start)


@st.composite
def fused(draw):
    """A fused operation with its arrays, masks and lengths."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gates, states = draw(st.sampled_from([(1, 1), (4, 2)]))
    steps = draw(st.integers(1, 4))
    n, h = draw(st.sampled_from([(1, 1), (3, 2), (5, 3), (2, 64), (9, 64)]))
    peephole = [(3, h)] if gates > 1 and draw(st.booleans()) else []
    shapes = (n, steps, gates * h), (h, gates * h), *[(draw(st.sampled_from([1, n])), h)] * states, *peephole
    masks = alive = None
    if draw(st.booleans()):
        masks = rng.integers(0, 2, (draw(st.sampled_from([1, gates])), n, draw(st.sampled_from([1, steps])), h)) * 2.0
    if draw(st.booleans()):
        alive = np.arange(steps)[:, None] < rng.integers(1, steps + 1, (n, 1, 1))
    activation = draw(st.sampled_from(["tanh", "relu", "identity"]))
    op = Lstm(masks, alive) if gates > 1 else Rnn(activation, masks, alive)
    return op, [rng.normal(size=s) / (h if k == 1 else 1) for k, s in enumerate(shapes)]


@pytest.mark.source("gal:eq3.22")
@given(pair=fused(), seed=st.integers(0, 1000), large=st.sampled_from([0, kernels.LARGE]))
def test_the_fused_loops_are_their_unrolled_twins_in_value_and_in_two_derivatives(pair, seed, large):
    op, arrays = pair
    rng = np.random.default_rng(seed)
    inputs = [Tensor(a) for a in arrays]
    with mock.patch.object(kernels, "LARGE", large):  # from five sequences on, two threads work on what is large
        y, twin = record(op, *inputs), op.simple(*inputs)
        assert_close(y.data, twin.data, scale=1 + abs(twin.data).max())
        w = rng.normal(size=y.shape)
        first = [grad(z, inputs, upstream=w) for z in (y, twin)]
    for ours, theirs in zip(*first, strict=True):
        assert_close(ours, theirs, scale=y.shape[1] * (1 + abs(theirs).max()))
    weights = [rng.normal(size=a.shape) for a in arrays]
    functions = (lambda *xs: record(op, *xs)), op.simple
    second = [grad(gradient_function(f, weights)(*inputs, Tensor(w)), inputs) for f in functions]
    for ours, theirs in zip(*second, strict=True):
        assert_close(ours, theirs, scale=y.shape[1] * (1 + abs(theirs).max()))


def test_a_fused_operation_that_ran_again_since_still_gives_the_right_gradient():
    op, rng = Lstm(), np.random.default_rng(0)
    inputs = [Tensor(rng.normal(size=s)) for s in ((2, 3, 8), (2, 8), (2, 2), (2, 2))]
    y = record(op, *inputs)
    expected = grad(y.sum(), inputs)
    record(op, *(Tensor(i.data * 2) for i in inputs))  # what it kept for the way back is now of another run
    for ours, theirs in zip(grad(y.sum(), inputs), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# ----------------------------------------------------------------------------------------------- relevance, multipliers


def explained(kind, seed, steps, padded):
    """A model from sequences to one number a row, sequences, and a reference."""
    layer = build(kind, seed)
    v = np.random.default_rng(seed).normal(size=(layer.n_hidden, 1))
    lengths = [steps, max(1, steps - 1), 1] if padded else None
    return (
        lambda x: ops.affine(layer(x, lengths=lengths and lengths[: len(x)]).sum(1), v),
        batch(seed, steps=steps),
        batch(seed + 1, steps=steps),
    )


others = pytest.mark.parametrize("kind", ["gru", "lstm-peephole", "rnn"])  # for the plain LSTM see test_lstm_cell.py
cells = given(seed=st.integers(0, 10_000), steps=st.integers(1, 5), padded=st.booleans())


@pytest.mark.source("deeplift:eq1")
@pytest.mark.parametrize("rule", [rescale(), reveal_cancel()], ids=["rescale", "reveal-cancel"])
@others
@cells
def test_contributions_sum_to_the_difference_from_the_reference(rule, kind, seed, steps, padded):
    model, x, reference = explained(kind, seed, steps, padded)
    assert_law(deeplift(model, x, reference=reference, rules=rule))
    if not padded:
        assert_law(deeplift(model, x, reference=reference[:1], rules=rule))


@pytest.mark.source("lrp:eq2")
@pytest.mark.parametrize("rule", [basic(), epsilon(0.1), alpha_beta(2, -1)], ids=["basic", "epsilon", "alpha-beta"])
@others
@cells
def test_relevance_is_conserved(rule, kind, seed, steps, padded):
    model, x, _ = explained(kind, seed, steps, padded)
    assert_law(lrp(model, x, rules=rule))


@every_cell
def test_an_explanation_finds_the_layer_in_the_table_of_rules(kind):
    layer = build(kind, 0)
    model = nn.Sequential(cell=layer, top=nn.Dense(layer.n_hidden, 1, dtype="float64"))
    x = batch(0)
    found = lrp(model, x, lambda y: y[:, -1, 0], rules=(("cell", epsilon(0.5)), ("top", basic())))
    other = lrp(model, x, lambda y: y[:, -1, 0], rules=(("cell", epsilon(0.1)), ("top", basic())))
    assert_law(found)
    assert abs(found.scores - other.scores).max() > 1e-3
    assert "cell" in found.absorbed_by


# --------------------------------------------------------------------------------------------------- states and lengths


@every_cell
@given(seed=st.integers(0, 10_000), cut=st.integers(1, 6))
def test_a_sequence_in_pieces_with_the_state_carried_on_is_the_whole_sequence(kind, seed, cut):
    layer, x = build(kind, seed), batch(seed, steps=7)
    whole, end = layer.run(x)
    first, state = layer.run(x[:, :cut])
    second, last = layer.run(x[:, cut:], state)
    assert_close(np.concatenate([first.data, second.data], 1), whole.data, scale=size(layer, x))
    for a, b in zip(last if layer.states > 1 else (last,), end if layer.states > 1 else (end,), strict=True):
        assert_close(a.data, b.data, scale=size(layer, x))


@every_cell
@seeds
def test_gradients_pass_a_carried_state_and_stop_at_a_detached_one(kind, seed):
    layer, x = build(kind, seed), batch(seed, steps=5)
    inputs = [Tensor(x[:, :2]), Tensor(x[:, 2:])]
    whole = Tensor(x)
    w = np.random.default_rng(seed).normal(size=(3, 3, layer.n_hidden))
    _, state = layer.run(inputs[0])
    ours = grad(layer(inputs[1], state), inputs, upstream=w)
    theirs = grad(layer(whole)[:, 2:], whole, upstream=w)
    assert_close(np.concatenate(ours, 1), theirs, scale=size(layer, x) * abs(w).max())
    cut = nn.detach(state)
    assert all(isinstance(s, np.ndarray) for s in (cut if layer.states > 1 else (cut,)))
    truncated = grad(layer(inputs[1], cut), inputs, upstream=w)
    np.testing.assert_array_equal(truncated[0], np.zeros_like(x[:, :2]))
    np.testing.assert_array_equal(truncated[1], ours[1])


@every_cell
@pytest.mark.parametrize("tied", [True, False])
def test_no_sequences_are_an_empty_batch(kind, tied):
    layer = build(kind, 0, tied=tied, p_in=0.5, p_recurrent=0.5)
    x = Tensor(np.zeros((0, 4, 2)))
    y = layer(x, rng=0)
    assert y.shape == (0, 4, layer.n_hidden)
    of_x, of_U = grad(y.sum(), [x, layer.U])
    assert of_x.shape == x.shape
    np.testing.assert_array_equal(of_U, np.zeros(layer.U.shape))


def test_detaching_no_state_leaves_none():
    assert nn.detach(None) is None


@every_cell
@given(seed=st.integers(0, 10_000), noisy=st.booleans())
def test_a_padded_batch_is_each_sequence_alone(kind, seed, noisy):
    layer, x, lengths = build(kind, seed), batch(seed, n=4, steps=6), [6, 1, 4, 3]
    source, start = Tensor(x), states(layer, seed, 4)
    y, last = layer.run(source, start, lengths)
    w = np.random.default_rng(seed).normal(size=y.shape)
    g = grad(y, source, upstream=w)
    for n, length in enumerate(lengths):
        own = tuple(s[n : n + 1] for s in start) if layer.states > 1 else start[n : n + 1]
        alone = Tensor(x[n : n + 1, :length])
        y_n, last_n = layer.run(alone, own)
        assert_close(y.data[n, :length], y_n.data[0], scale=size(layer, x))
        np.testing.assert_array_equal(y.data[n, length:], 0)
        for a, b in zip(last if layer.states > 1 else (last,), last_n if layer.states > 1 else (last_n,), strict=True):
            assert_close(a.data[n], b.data[0], scale=size(layer, x))
        assert_close(g[n, :length], grad(y_n, alone, upstream=w[n : n + 1, :length])[0], scale=size(layer, x) * 5)
        np.testing.assert_array_equal(g[n, length:], 0)


@every_cell
def test_what_stands_beyond_a_length_changes_nothing(kind):
    layer, x = build(kind, 0), batch(0)
    other = x.copy()
    other[1, 2:] = 1e9
    np.testing.assert_array_equal(layer(x, lengths=[4, 2, 4]).data, layer(other, lengths=[4, 2, 4]).data)


@every_cell
def test_a_sequence_alone_is_a_row_of_the_batch(kind):
    layer, x = build(kind, 0, hidden=64), batch(0, n=40, steps=3)
    with mock.patch.object(kernels, "LARGE", 0):
        together = layer(x).data
    for n in (0, 17, 39):
        assert_close(layer(x[n : n + 1]).data[0], together[n], scale=size(layer, x))


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_the_number_of_threads_does_not_change_a_bit(kind, monkeypatch):
    layer, x = build(kind, 0), Tensor(batch(0, n=11, steps=3))
    monkeypatch.setattr(kernels, "LARGE", 0)

    def results():
        y = layer(x)
        return [y.data, *grad(y.sum(), [x, *layer.parameters().values()])]

    monkeypatch.setenv("MINIDL_THREADS", "1")
    alone = results()
    monkeypatch.setenv("MINIDL_THREADS", "2")
    for ours, theirs in zip(results(), alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --------------------------------------------------------------------------------------- types, modules, long sequences


@every_cell
def test_float32_stays_float32(kind):
    layer = build(kind, 0, dtype="float32", **NOISE)
    x = Tensor(batch(0).astype(np.float32))
    y, last = layer.run(x, lengths=[4, 2, 1], rng=1)
    gradients = grad(y, [x, *layer.parameters().values()], upstream=np.ones(y.shape, np.float32))
    found = [y, *(last if layer.states > 1 else (last,)), *gradients]
    assert {a.dtype.name for a in found} == {"float32"}
    exact = build(kind, 0, **NOISE)
    for name, p in layer.parameters().items():
        setattr(exact, name, p.data.astype(np.float64))
    assert_close(y.data, exact(x.data.astype(np.float64), lengths=[4, 2, 1], rng=1).data, scale=size(layer, x.data))


@every_cell
def test_every_array_module_gives_numpys_numbers(kind, xp):
    def run(name):
        layer = build(kind, 0, **NOISE).to(name)
        x = Tensor(backend.to(batch(0), name))
        y, last = layer.run(x, lengths=[4, 2, 1], rng=1)
        y = nn.Sequential(layer)(x, rng=2) + y
        return [y.data, *(s.data for s in (last if layer.states > 1 else (last,))), *grad(y.sum(), [x, layer.U])]

    for ours, theirs in zip(run(xp.__name__), run("numpy"), strict=True):
        assert backend.xp(ours) is xp
        assert_close(backend.to_numpy(ours), theirs, scale=10 + abs(theirs).max())


@pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])
def test_two_thousand_steps(kind):
    layer, x = build(kind, 0, hidden=1), batch(0, n=1, steps=2000)
    source = Tensor(x)
    assert np.isfinite(grad(layer(source).sum(), source)).all()
    if kind == "rnn":  # the shortest of the unrolled twins
        assert_law(lrp(lambda x: layer(x)[:, -1].sum(1), x, rules=epsilon(0.01)))


@given(steps=st.integers(1, 200), axis=st.integers(0, 1))
def test_taking_a_sequence_apart_costs_no_more_than_its_size_times_a_logarithm(steps, axis):
    moved, plain = [], moves.Put.forward
    moves.Put.forward = lambda self, g: moved.append(int(np.prod(self.shape))) or plain(self, g)
    try:
        x = Tensor(np.arange(steps * 3.0).reshape((steps, 3) if axis == 0 else (3, steps)))
        parts = ops.unstack(x, axis)
        g = grad(sum(part.sum() * (k + 1.0) for k, part in enumerate(parts)), x)
    finally:
        moves.Put.forward = plain
    weights = np.arange(1.0, steps + 1)
    np.testing.assert_array_equal(g, np.broadcast_to(weights[:, None] if axis == 0 else weights, g.shape))
    np.testing.assert_array_equal(np.stack([p.data for p in parts], axis), x.data)
    assert sum(moved) <= x.size * (2 * ceil(log2(steps)) + 1)


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_a_fused_layer_records_as_many_operations_for_a_long_sequence_as_for_a_short_one(kind):
    layer = build(kind, 0)
    counts = [len(topological(layer(Tensor(batch(0, steps=t))), lambda n: n.inputs)) for t in (1, 100)]
    assert counts[0] == counts[1]


# ---------------------------------------------------------------------------------------------------- stacked, training


def test_layers_stack_in_a_sequential_and_keep_their_paths():
    model = nn.Sequential(nn.LSTM(2, 3, rng=0), nn.GRU(3, 4, rng=1), nn.RNN(4, 2, rng=2))
    x = batch(0).astype(np.float32)
    y = model(x)
    assert y.shape == (3, 4, 2)
    by_layer = model[2](model[1](model[0](x).data).data)
    np.testing.assert_array_equal(y.data, by_layer.data)
    layers = {str(n.layer) for n in topological(model(Tensor(x)), lambda n: n.inputs) if n.op is not None}
    assert layers == {"0 LSTM", "1 GRU", "2 RNN"}


def test_a_module_that_runs_a_layer_keeps_its_path():
    class Tagger(nn.Module):
        def __init__(self):
            self.cell = nn.LSTM(2, 3)

        def forward(self, x, rng=None):
            return self.cell.run(x, rng=rng)[1][0]

    assert Tagger()(batch(0).astype(np.float32)).layer.path == "cell"


def test_saved_and_loaded_it_is_the_same(tmp_path):
    for kind in CELLS:
        layer = build(kind, 0, dtype="float32")
        nn.save(tmp_path / kind, layer)
        again = nn.load(tmp_path / kind, build(kind, 1, dtype="float32"))
        x = batch(0).astype(np.float32)
        np.testing.assert_array_equal(again(x).data, layer(x).data)


# ------------------------------------------------------------------------------------------------------------- the door


def layer_call(**more):
    nn.LSTM(2, 3)(np.ones((4, 5, 2), np.float32), **more)


@pytest.mark.parametrize(
    "x, sentence",
    [
        (np.ones((5, 2), np.float32), r"f.0 LSTM expects \(N, T, 2\), got \(5, 2\); a single sequence needs x\[None\]"),
        (np.ones((4, 5, 3), np.float32), r"f.0 LSTM expects \(N, T, 2\), got \(4, 5, 3\)$"),
        (np.ones((4, 2, 5), np.float32), r"got \(4, 2, 5\); features stand last: x.transpose\(0, 2, 1\)"),
        (np.ones((4, 0, 2), np.float32), r"f.0 LSTM expects sequences of at least one step, got \(4, 0, 2\)"),
        (np.ones((4, 5, 2), int), "f.0 LSTM expects floating-point data, got int64; convert them"),
    ],
)
def test_sequences_that_are_refused(x, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        nn.Sequential(f=nn.Sequential(nn.LSTM(2, 3)))(x)


@pytest.mark.parametrize(
    "lengths, error, sentence",
    [
        ([5, 5, 5, 6], ValueError, r"LSTM expects lengths in 1..5, the steps of the batch, got 5..6"),
        ([0, 5, 5, 5], ValueError, r"LSTM expects lengths in 1..5, the steps of the batch, got 0..5"),
        ([5, 5, 5, 5.0], TypeError, "LSTM expects integer lengths, got float64"),
        ([True] * 4, TypeError, "LSTM expects integer lengths, got bool"),
        ([5, 5], ValueError, r"LSTM expects lengths of shape \(4,\), one for each sequence, got \(2,\)"),
    ],
)
def test_lengths_that_are_refused(lengths, error, sentence):
    with pytest.raises(error, match=sentence):
        layer_call(lengths=lengths)


H = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    "state, error, sentence",
    [
        (H, ValueError, r"LSTM expects a state \(h, c\), each \(4, 3\), got \(4, 3\)"),
        ((H, H[:2]), ValueError, r"LSTM expects a state \(h, c\), each \(4, 3\), got \(4, 3\), \(2, 3\)"),
        ((H, 0), TypeError, r"LSTM expects a state \(h, c\), each \(4, 3\), got tuple"),
        (np.random.default_rng(0), TypeError, r"got Generator; a generator goes by its name: layer\(x, rng=rng\)"),
    ],
)
def test_states_that_are_refused(state, error, sentence):
    with pytest.raises(error, match=sentence):
        layer_call(state=state)
    with pytest.raises(ValueError, match=r"GRU expects a state \(4, 3\), got \(4, 2\)"):
        nn.GRU(2, 3)(np.ones((4, 5, 2), np.float32), state=H[:, :2])


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: nn.LSTM(2, 3, p_in=1.0), r"LSTM: p_in, the probability of dropping, must lie in \[0, 1\), got 1.0"),
        (lambda: nn.GRU(2, 3, p_recurrent=-0.1), r"GRU: p_recurrent, the probability of dropping, .* got -0.1"),
        (lambda: nn.RNN(2, 3, p_out="x"), r"RNN: p_out, the probability of dropping, must lie in \[0, 1\), got 'x'"),
        (lambda: nn.RNN(2, 3, "sine"), "RNN: activation must be one of tanh, relu, identity, got 'sine'"),
        (lambda: nn.LSTM(2, 0), "LSTM: n_hidden must be a positive int, got 0"),
    ],
)
def test_settings_that_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
