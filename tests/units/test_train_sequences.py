"""Truncated backpropagation over a text: the same steps as by hand, the same bits after a kill, and what is refused."""

import os
from itertools import product

import numpy as np
import pytest
from support import standin  # noqa: F401 - makes the stand-in backend known
from support.training import assert_same_bits

from minidl import backend, grad, losses, nn, optim, train
from minidl.data.text import streams
from minidl.train_sequences import evaluate_sequences, fit_sequences, log_probabilities

IDS = np.random.default_rng(0).integers(0, 5, 61)
TEXT, HELD_OUT = streams(IDS, 3, 6), streams(IDS[::-1], 2, 7)  # windows of 6, 6, 6, 2 steps, and of 7, 7, 7, 7, 2


def network(seed=0, **noise):
    rng = np.random.default_rng(seed)
    return nn.Stateful(
        nn.Embedding(5, 3, rng=rng), nn.LSTM(3, 6, rng=rng, **noise), nn.RNN(6, 4, rng=rng), nn.Dense(4, 5, rng=rng)
    )


def run(checkpoint=None, loss=losses.cross_entropy, epochs=3, model=None, text=TEXT, lr=0.02, **changes):
    model = model or network(p_in=0.3, p_recurrent=0.2, tied=False)
    optimiser = optim.Adam(model.parameters(), lr)
    arguments = dict(seed=3, validation=HELD_OUT, progress=False) | changes
    history = fit_sequences(model, loss, text, epochs, optimiser, checkpoint=checkpoint, **arguments)
    return model, optimiser, history


@pytest.fixture(scope="module")
def uninterrupted():
    return run()


# ------------------------------------------------------------------------------------------------ layers with a state


def test_windows_one_after_the_other_are_the_whole_text():
    model, x = network(), IDS[:40].reshape(2, 20)
    whole, at_end = model.run(x)
    np.testing.assert_array_equal(whole.data, model(x).data)
    np.testing.assert_array_equal(whole.data, nn.Sequential(*model)(x).data)
    state, parts = None, []
    for start, stop in ((0, 7), (7, 8), (8, 20)):
        y, state = model.run(x[:, start:stop], nn.detach(state))
        parts.append(y.data)
    np.testing.assert_allclose(np.concatenate(parts, 1), whole.data, rtol=0, atol=1e-5)  # float32, sums of 6 terms
    for ours, theirs in zip(state[0], at_end[0], strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, atol=1e-5)


def test_a_state_is_one_for_each_recurrent_layer_and_carries_gradients_until_it_is_detached():
    model, x = network(), IDS[:20].reshape(2, 10)
    _, state = model.run(x)
    assert len(state) == 2 and len(state[0]) == 2 and state[0][0].shape == (2, 6) and state[1].shape == (2, 4)
    cut = nn.detach(state)
    assert backend.is_array(cut[0][1]) and backend.is_array(cut[1]) and nn.detach(None) is None
    first = model[0].W
    through = [grad((model.run(x, s)[0] ** 2).sum(), first) for s in (state, cut)]
    np.testing.assert_array_equal(*(model.run(x, s)[0].data for s in (state, cut)))
    assert (through[0] != through[1]).any()


def test_layers_of_a_model_with_a_state_know_their_paths():
    y, _ = nn.Stateful(table=nn.Embedding(5, 3), cell=nn.LSTM(3, 4)).run(IDS[None])
    assert str(y.layer) == "cell LSTM"


@pytest.mark.parametrize("state, came", [((None,), "1 of them"), (np.zeros((1, 4)), "ndarray")])
def test_a_state_for_other_layers_is_refused(state, came):
    with pytest.raises(ValueError, match=f"Stateful expects a tuple of 2 states, one a layer, got {came}"):
        network().run(IDS[None], state)


# ------------------------------------------------------------------------------------------------------------ training


@pytest.mark.source("gal:eq3.21")
def test_training_is_one_draw_and_one_step_a_window_with_the_state_as_a_number():
    settings = dict(p_in=0.3, p_recurrent=0.2, p_out=0.1)
    model, twin = network(**settings), network(**settings)
    sgd = optim.SGD(model.parameters(), 0.5)
    history = fit_sequences(model, losses.cross_entropy, TEXT, 2, sgd, 3, progress=False)
    assert history.epochs == 2 and history.lr == [0.5, 0.5] and history.validation_loss == []
    x, y, step = IDS[:60].reshape(3, 20), IDS[1:].reshape(3, 20), 0
    for epoch in range(2):
        h, total = [(np.zeros((3, 6), np.float32),) * 2, np.zeros((3, 4), np.float32)], 0
        for start, stop in ((0, 6), (6, 12), (12, 18), (18, 20)):
            rng = np.random.default_rng([3, train.NOISE, step])
            z = twin[0](x[:, start:stop])
            z, (h0, c0) = twin[1].run(z, h[0], rng=rng)
            z, h1 = twin[2].run(z, h[1], rng=rng)
            loss = losses.cross_entropy(twin[3](z), y[:, start:stop])
            h = [(h0.data, c0.data), h1.data]
            for p, g in zip(twin.parameters().values(), grad(loss, list(twin.parameters().values()))):
                p.data = p.data - np.float32(0.5) * g
            total, step = total + loss.item() * (stop - start), step + 1
        assert np.isclose(history.train_loss[epoch], total / 20, rtol=1e-5)
    for ours, theirs in zip(model.parameters().values(), twin.parameters().values(), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=0, atol=1e-5)


def test_it_learns_what_comes_next_and_keeps_a_history():
    text = streams(np.tile([0, 1, 2, 1], 60), 4, 10)
    model = network()
    history = fit_sequences(
        model, losses.cross_entropy, text, 40, optim.Adam(model.parameters(), 0.02), 0, validation=text, progress=False
    )
    assert len(history.train_loss) == len(history.validation_loss) == 40 and history.validation_accuracy == []
    assert history.validation_loss[-1] < 0.1 < 1 < history.train_loss[0]
    assert np.isclose(history.validation_loss[-1], evaluate_sequences(model, losses.cross_entropy, text), rtol=1e-6)
    assert not model.training


class Killed(Exception):
    pass


def failing_loss(at):
    calls = [0]

    def cross_entropy(output, labels):
        calls[0] += 1
        if calls[0] == at:
            raise Killed
        return losses.cross_entropy(output, labels)

    cross_entropy.__qualname__ = losses.cross_entropy.__qualname__
    return cross_entropy


@pytest.mark.parametrize("at", [3, 10, 12, 25])  # in the first epoch; at the start of and within the second; at the end
def test_an_interrupted_run_continues_with_the_same_bits(tmp_path, at, uninterrupted):
    path = tmp_path / "run.npz"
    with pytest.raises(Killed):
        run(path, failing_loss(at))
    assert path.exists() == (at > 9)  # an epoch asks for a loss in four steps and five windows held out
    assert_same_bits(run(path), uninterrupted)
    assert os.listdir(tmp_path) == ["run.npz"]


@pytest.mark.parametrize(
    "changes, name",
    [
        (dict(text=streams(IDS[1:], 3, 6)), "text was"),
        (dict(text=streams(IDS, 3, 7)), "text was .*6 steps.* now it is .*7 steps"),
        (dict(validation=None), "validation was"),
        (dict(seed=4), "seed was 3, now it is 4"),
        (dict(lr=0.1), "optimiser was Adam"),
        (dict(model=network()), "model was Stateful"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, name):
    run(tmp_path / "run.npz", epochs=1)
    with pytest.raises(ValueError, match=f"fit_sequences: .*run.npz is the checkpoint of another run: {name}"):
        run(tmp_path / "run.npz", **changes)


def test_another_array_module_trains_to_the_same_bits(uninterrupted):
    assert_same_bits(run(model=network(p_in=0.3, p_recurrent=0.2, tied=False).to("standin")), uninterrupted)


# ---------------------------------------------------------------------------------------------- what the model expects


def test_log_probabilities_without_noise_are_those_of_the_softmax():
    model = network(p_in=0.5)
    found = log_probabilities(model, HELD_OUT)
    assert found.shape == (1, 2, 30) and found.dtype == np.float32
    z = model(HELD_OUT.inputs).data
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    expected = np.log([[p[b, t, HELD_OUT.targets[b, t]] for t in range(30)] for b in range(2)])
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert np.isclose(evaluate_sequences(model, losses.cross_entropy, HELD_OUT), -expected.mean(), rtol=1e-5)


def test_a_pass_has_noise_of_its_own_that_does_not_depend_on_how_many_there_are():
    model = network(p_in=0.5, p_recurrent=0.5)
    many = log_probabilities(model, TEXT, 5, 1)
    assert many.shape == (5, 3, 20)
    np.testing.assert_array_equal(many[:2], log_probabilities(model, TEXT, 2, 1))
    np.testing.assert_array_equal(many, log_probabilities(model, TEXT, 5, np.random.default_rng(1)))
    assert (many[0] != many[1]).any() and (many != log_probabilities(model, TEXT, 5, 2)).any()
    still = log_probabilities(network(), TEXT, 3, 1)
    np.testing.assert_array_equal(still, np.broadcast_to(log_probabilities(network(), TEXT), still.shape))
    model.to("standin")
    np.testing.assert_array_equal(backend.to_numpy(log_probabilities(model, TEXT, 5, 1)), many)


@pytest.mark.source("gal:prop2", "gal:eq3.21")
def test_the_mean_over_passes_is_the_predictive_of_all_draws_of_weights():
    p, T = 0.4, 1000
    rng = np.random.default_rng(0)
    cell = nn.RNN(2, 3, p_in=p, rng=rng, dtype="float64")
    model = nn.Stateful(nn.Embedding(4, 2, rng=rng, dtype="float64"), cell, nn.Dense(3, 4, rng=rng, dtype="float64"))
    cell.W = 3 * cell.W.data
    text = streams([0, 3, 1, 1, 2], 1, 4)
    found = np.exp(log_probabilities(model, text, T, 0))[:, 0]
    W, exact = cell.W.data.copy(), 0
    for kept in product([0, 1], repeat=2):
        cell.W = np.array(kept)[:, None] / (1 - p) * W  # rows of W dropped, at every step
        z = model(text.inputs).data[0]
        chance = np.prod(np.where(np.array(kept) == 1, 1 - p, p))
        exact = exact + chance * (np.exp(z) / np.exp(z).sum(1, keepdims=True))[np.arange(4), text.targets[0]]
    assert (found.std(0) > 0.02).all()  # else there would be nothing to average
    assert (abs(found.mean(0) - exact) < 5 * found.std(0, ddof=1) / T**0.5).all()


# ---------------------------------------------------------------------------------------------------------- the door


@pytest.mark.parametrize(
    "changes, error, sentence",
    [
        (dict(text=(IDS, IDS)), TypeError, "fit_sequences: text must be Streams, cut by data.text.streams, got tuple"),
        (dict(validation=IDS), TypeError, "fit_sequences: validation must be Streams, .* got ndarray"),
        (dict(model=nn.Sequential(nn.Embedding(5, 5))), TypeError, r"model must have run\(x, state, rng\).*Sequential"),
        (dict(epochs=-1), ValueError, "fit_sequences: epochs must be an int >= 0, got -1"),
        (dict(seed=None), ValueError, "fit_sequences: seed must be an int >= 0, got None"),
        (dict(loss=lambda y, t: y), TypeError, r"fit_sequences: loss must return a Tensor of one number, got \(3, 6"),
        (dict(loss=lambda y, t: (y * np.nan).sum()), FloatingPointError, "fit_sequences: the loss became nan in epoch"),
        (dict(checkpoint="nowhere/run.npz"), FileNotFoundError, "fit_sequences: the folder of checkpoint"),
    ],
)
def test_bad_arguments_are_refused(changes, error, sentence):
    with pytest.raises(error, match=sentence):
        run(**changes)


def test_what_passes_need():
    with pytest.raises(ValueError, match="log_probabilities: T must be an int >= 1, got 0"):
        log_probabilities(network(), TEXT, 0, 1)
    with pytest.raises(TypeError, match="log_probabilities: rng must be a numpy.random.Generator or an int .*None"):
        log_probabilities(network(), TEXT, 5)
    with pytest.raises(TypeError, match="fit_sequences: optimiser must be an Optimiser such as optim.SGD, got float"):
        fit_sequences(network(), losses.cross_entropy, TEXT, 1, 0.1, 0)


def test_the_bar_is_shown_on_request_only(capsys):
    run(epochs=1)
    assert capsys.readouterr() == ("", "")
    run(epochs=1, progress=True)
    assert "fit_sequences" in (shown := capsys.readouterr().err) and "4/4" in shown
