"""The digits chapter's networks: the text's own to the last parameter, and a small one that learns in a second."""

import numpy as np
import pytest
from support.tolerance import assert_close

from minidl import data, losses, optim, train
from minidl.explain import deeplift, lrp
from minidl.nn import Conv2d, Dense, Flatten, ReLU, Sequential
from minidl.nn.models import deeplift_mnist


@pytest.mark.source("deeplift:mnist-model")
def test_the_network_of_section_4_1_has_the_texts_layers():
    model = deeplift_mnist(0)
    assert {path: p.shape for path, p in model.parameters().items()} == {
        "conv1.W": (32, 1, 4, 4),
        "conv1.b": (32,),
        "conv2.W": (64, 32, 4, 4),
        "conv2.b": (64,),
        "dense1.W": (1600, 128),
        "dense1.b": (128,),
        "dense2.W": (128, 10),
        "dense2.b": (10,),
    }
    assert sum(p.size for p in model.parameters().values()) == 239_594
    x = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    shapes = []
    for layer in model:
        x = layer(x)
        shapes.append(x.shape[1:])
    assert shapes == [(32, 13, 13)] * 2 + [(64, 5, 5)] * 3 + [(1600,)] + [(128,)] * 3 + [(10,)]
    assert (model.dropout1.p, model.dropout2.p) == (0.25, 0.5)


def test_its_first_weights_are_glorot_uniform_and_its_biases_zero():
    model = deeplift_mnist(1)
    limit = np.sqrt(6 / (1600 + 128))
    W = model.dense1.W.data
    assert abs(W).max() <= limit < 1.001 * abs(W).max()
    assert not any(p.data.any() for path, p in model.parameters().items() if path.endswith(".b"))
    assert (model.conv1.W.data == deeplift_mnist(1).conv1.W.data).all()
    assert (model.conv1.W.data != deeplift_mnist(2).conv1.W.data).all()


@pytest.fixture(scope="module")
def small():
    """A network after three epochs on four fifths of the digits, and the fifth that it has not seen."""
    images, labels = data.digits()
    kept, held_out = data.stratified_split(labels, 0.2, 0)
    rng = np.random.default_rng(0)
    model = Sequential(
        Conv2d(1, 8, 3, stride=2, padding="same", rng=rng), ReLU(), Flatten(),
        Dense(128, 32, rng=rng), ReLU(), Dense(32, 10, rng=rng),
    )  # fmt: skip
    optimiser = optim.Adam(model.parameters(), 0.005)
    train.fit(model, losses.cross_entropy, (images[kept], labels[kept]), 3, 32, optimiser, 0, progress=False)
    return model, images[held_out], labels[held_out]


def test_three_epochs_read_most_of_the_held_out_digits(small):
    model, x, y = small
    assert train.evaluate(model, losses.cross_entropy, x, y)[1] > 0.8


@pytest.mark.source("lrp:eq2", "deeplift:eq1")
def test_both_laws_hold_on_a_trained_network_in_either_precision(small):
    model, x, y = small
    for dtype in (np.float32, np.float64):
        for explain in (lrp, lambda *args: deeplift(*args, reference=0.0)):
            e = explain(model, x[:20].astype(dtype), y[:20])
            assert e.scores.dtype == dtype
            assert_close(e.residual, 0 * e.residual, scale=e.flow)


@pytest.mark.source("deeplift:eq5")
def test_less_the_mean_over_classes_contributions_sum_to_what_a_softmax_sees(small):
    model, x, _ = small
    x = x[:5].astype(np.float64)
    each = np.stack([deeplift(model, x, c, reference=0.0).scores for c in range(10)])
    once = deeplift(model, x, np.eye(10)[8] - 1 / 10, reference=0.0)
    np.testing.assert_allclose(once.scores, each[8] - each.mean(0), atol=1e-9)
    apart = deeplift(model, x, np.eye(10)[8] - np.eye(10)[3], reference=0.0)
    np.testing.assert_allclose(apart.scores, each[8] - each[3], atol=1e-9)
