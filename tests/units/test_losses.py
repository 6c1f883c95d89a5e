import numpy as np
import pytest
from support.gradcheck import check_gradients
from support.tolerance import assert_close

from minidl import Tensor, losses

RNG = np.random.default_rng(0)


def test_cross_entropy_is_minus_the_mean_log_probability_of_the_label():
    z, labels = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 0])
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    assert_close(losses.cross_entropy(Tensor(z), labels).data, np.array(-np.log(p[np.arange(5), labels]).mean()))
    steps, classes = RNG.normal(size=(2, 4, 3)), RNG.integers(0, 3, (2, 4))
    flat = losses.cross_entropy(Tensor(steps.reshape(8, 3)), classes.reshape(8))
    assert losses.cross_entropy(Tensor(steps), classes).item() == flat.item()
    assert losses.cross_entropy(Tensor(z), [0, 2, 1, 1, 0]).shape == ()


def test_binary_cross_entropy_is_stable_and_takes_soft_targets():
    z, t = RNG.normal(size=(5, 2)), RNG.random((5, 2))
    p = 1 / (1 + np.exp(-z))
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()
    assert_close(losses.binary_cross_entropy(Tensor(z), t).data, np.array(expected))
    far = Tensor(np.array([1000.0, -1000.0], np.float32))
    assert losses.binary_cross_entropy(far, np.array([0, 1])).item() == 1000
    assert losses.binary_cross_entropy(far, np.array([1, 0])).item() == 0


def test_euclidean_has_the_half_and_mse_is_a_mean_over_all():
    y, t = RNG.normal(size=(5, 3)), RNG.normal(size=(5, 3))
    assert_close(losses.euclidean(Tensor(y), t).data, np.array(((y - t) ** 2).sum() / 10))
    assert_close(losses.mse(Tensor(y), t).data, np.array(((y - t) ** 2).mean()))


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "euclidean", "mse", "cross_entropy"])
def test_gradients_and_types(loss):
    f = getattr(losses, loss)
    target = RNG.integers(0, 3, 4) if loss == "cross_entropy" else RNG.random((4, 3))
    check_gradients(lambda y: f(y, target), RNG.normal(size=(4, 3)))
    y = Tensor(RNG.normal(size=(4, 3)).astype(np.float32))
    value = f(y, target)  # float64 targets do not widen float32
    value.backward()
    assert value.dtype == y.grad.dtype == np.float32


@pytest.mark.parametrize(
    "call, error, sentence",
    [
        (lambda y: losses.cross_entropy(y, np.zeros(4)), TypeError, "labels must be integers, got float64"),
        (lambda y: losses.cross_entropy(y, np.zeros((4, 3), int)), ValueError, "need labels of shape (4,)"),
        (lambda y: losses.cross_entropy(y, [0, 1, 3, 0]), ValueError, "labels must lie in 0..2, got 0..3"),
        (lambda y: losses.cross_entropy(y, [0, -1, 2, 0]), ValueError, "labels must lie in 0..2, got -1..2"),
        (lambda y: losses.binary_cross_entropy(y, np.full((4, 3), 1.5)), ValueError, "targets must lie in [0, 1]"),
        (lambda y: losses.mse(y, np.zeros(3)), ValueError, "must have the shape of the output, (4, 3), got (3,)"),
        (lambda y: losses.euclidean(y, np.zeros((4, 1))), ValueError, "(4, 3), got (4, 1)"),
    ],
)
def test_bad_targets_are_refused(call, error, sentence):
    with pytest.raises(error) as found:
        call(Tensor(np.zeros((4, 3))))
    assert sentence in str(found.value)
