"""The loss on everybody's training examples by rounds, of a small convolutional network: what figures 6 and 8 show."""

import numpy as np
import pytest
from support.tolerance import rounding

from minidl import data, losses, nn, optim
from minidl.federated import Client, clients_of, fedavg, iid, shards
from minidl.train import evaluate

N, K = 600, 12
images, labels = (a[:N] for a in data.digits())
PARTS = {"IID": iid(N, K, 0), "non-IID": shards(labels, K, 0)}


def cnn():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding="same", rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dense(64, 10, rng=rng)
    )


def training_loss(model):
    return evaluate(model, losses.cross_entropy, images, labels)[0]


def run(split, rounds, E, **changes):
    settings = dict(C=1.0, B=10, lr=0.1, seed=0, watch={"training loss": training_loss}, progress=False)
    return fedavg(cnn(), clients_of(images, labels, PARTS[split]), rounds=rounds, E=E, **(settings | changes))


def loss_and_scale(weights):
    """The mean loss by its formula, and the largest sum of |signal| on the way to an output."""
    model = cnn()
    model.load_state_dict(weights)
    outputs = model(images).data.astype(np.float64)
    top = outputs.max(1)
    right = outputs[np.arange(N), labels]
    loss = (top + np.log(np.exp(outputs - top[:, None]).sum(1)) - right).mean()
    model.load_state_dict({path: abs(a) for path, a in weights.items()})
    return loss, model(images).data.max()  # there is no minus sign in it, so nothing cancels


@pytest.mark.source("fedavg:fig6")
@pytest.mark.parametrize("split", PARTS)
def test_the_curve_is_the_loss_of_each_rounds_model_on_everybodys_examples(split):
    """With three of twelve clients a round: neither of those asked alone, nor of the models before the average."""
    history = run(split, 4, E=2, C=0.25).history
    for t, shown in enumerate(history["training loss"]):
        loss, scale = loss_and_scale(run(split, t + 1, E=2, C=0.25, watch=None).weights)
        assert abs(shown - loss) <= rounding(np.float32, scale)
        others = np.append(np.delete(history["training loss"], t), history["loss"][t])
        assert (abs(others - loss) > 10 * rounding(np.float32, scale)).all()
    ax = history.plot("training loss")
    ax.set_yscale("log")
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
    np.testing.assert_array_equal(line.get_ydata(), history["training loss"])


@pytest.fixture(scope="module")
def by_passes():
    return {(split, E): run(split, 3, E) for split in PARTS for E in (1, 4, 16)}


@pytest.mark.source("fedavg:fig8")
@pytest.mark.parametrize("split", PARTS)
def test_on_these_digits_more_passes_lower_the_training_loss_more_in_each_of_the_first_rounds(by_passes, split):
    """No plateau and no divergence for large E: as in the text for this kind of network, whatever the partition."""
    curves = np.array([by_passes[split, E].history["training loss"] for E in (1, 4, 16)])
    _, scale = loss_and_scale(by_passes[split, 16].weights)
    assert (np.diff(curves, axis=0) < -10 * rounding(np.float32, scale)).all()  # with E, in each round
    assert (np.diff(curves, axis=1) < -10 * rounding(np.float32, scale)).all()  # with rounds, for each E


@pytest.mark.source("fedavg:fig8")
def test_after_many_passes_two_digits_a_client_fit_their_own_better_and_everybodys_worse(by_passes):
    iid, two = (by_passes[split, 16].history for split in ("IID", "non-IID"))
    assert (two["loss"] < iid["loss"]).all()  # while the clients train
    assert (two["training loss"] > iid["training loss"]).all()  # of their mean
    assert (two["training loss"] > two["loss"]).all()


@pytest.mark.source("fedavg:fig8", "fedavg:alg1")
@pytest.mark.parametrize("E", [1, 30])
def test_of_clients_with_the_same_examples_the_mean_is_what_each_learns_however_many_passes(E):
    x, y = images[:40], labels[:40]
    twins = [Client(k, x, y) for k in range(3)]
    together = fedavg(cnn(), twins, rounds=2, C=1.0, E=E, B=None, lr=0.1, seed=0, progress=False)
    own = cnn()
    descent = optim.SGD(own.parameters(), 0.1)
    for _ in range(2 * E):
        descent.zero_grad()
        losses.cross_entropy(own(x), y).backward()
        descent.step()
    for path, a in own.state_dict().items():  # equal float32 weights have themselves as their mean in float64
        np.testing.assert_array_equal(together.weights[path], a)
