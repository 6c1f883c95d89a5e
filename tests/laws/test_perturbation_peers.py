"""Occlusion and Shapley values in captum give the same numbers; where they do not, the test says why."""

import numpy as np
import pytest
from support.tolerance import assert_close

from minidl import nn
from minidl.explain.perturbation import occlusion
from minidl.explain.shapley import shapley

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'minidl[peers]'")
attr = pytest.importorskip("captum.attr", reason="captum is not installed: pip install 'minidl[peers]'")
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


def dense(n_in, n_out, seed):
    """The same dense layer twice, in float64."""
    ours, theirs = nn.Dense(n_in, n_out, rng=seed, dtype="float64"), torch.nn.Linear(n_in, n_out)
    ours.b = np.random.default_rng(seed).normal(size=n_out)
    theirs.weight.data, theirs.bias.data = torch.tensor(ours.W.data.T.copy()), torch.tensor(ours.b.data.copy())
    return ours, theirs


def networks(shape):
    """The same network twice, over rows of that shape, with rows, a row of fill, and a class for each."""
    layers = [(nn.Flatten(), torch.nn.Flatten()), dense(int(np.prod(shape)), 6, 0)]
    layers += [(nn.Tanh(), torch.nn.Tanh()), dense(6, 3, 1)]
    rng = np.random.default_rng(2)
    x, fill = rng.normal(size=(4, *shape)), rng.normal(size=(1, *shape))
    ours, theirs = zip(*layers, strict=True)
    return nn.Sequential(*ours), torch.nn.Sequential(*theirs).double(), x, fill, rng.integers(0, 3, 4)


@pytest.fixture
def in_float64(monkeypatch):
    """captum divides by the number of windows in float32, whatever it was given."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.parametrize(
    "shape, window, stride",
    [
        ((2, 7, 6), (2, 3, 3), (2, 3, 3)),
        ((2, 7, 6), (2, 3, 3), (2, 2, 1)),  # the last window is cut along one axis and fits along the other
        ((2, 7, 6), (1, 2, 4), (1, 1, 3)),  # channels apart
        ((2, 7, 6), (2, 7, 6), (1, 1, 1)),
        ((3, 8), (3, 3), (3, 2)),
        ((7,), (3,), (2,)),
        ((7,), (1,), (1,)),
    ],
)
@pytest.mark.parametrize("by_row", [False, True])
def test_occlusion(in_float64, shape, window, stride, by_row):
    ours, theirs, x, fill, target = networks(shape)
    expected = attr.Occlusion(theirs).attribute(
        torch.tensor(x), window, stride, torch.tensor(fill) if by_row else 0.5, torch.tensor(target)
    )
    result = occlusion(ours, x, target, window=window, stride=stride, fill=fill if by_row else 0.5)
    np.testing.assert_allclose(result.scores, expected.numpy(), rtol=1e-9, atol=1e-12)


def test_windows_without_a_stride_lie_side_by_side_and_not_one_element_apart_as_captums(in_float64):
    ours, theirs, x, _, target = networks((2, 7, 6))
    expected = attr.Occlusion(theirs).attribute(torch.tensor(x), (2, 3, 3), target=torch.tensor(target)).numpy()
    overlapping = occlusion(ours, x, target, window=3, stride=1).scores  # an int leaves the channels together
    np.testing.assert_allclose(overlapping, expected, rtol=1e-9, atol=1e-12)
    assert abs(occlusion(ours, x, target, window=3).scores - expected).max() > 1e-3


def test_shapley_values_of_groups_are_captums_shared_by_the_elements():
    ours, theirs, x, reference, target = networks((2, 3))
    players = np.array([[0, 1, 2], [2, 1, 3]])
    expected = attr.ShapleyValues(theirs).attribute(
        torch.tensor(x), torch.tensor(reference), torch.tensor(target), feature_mask=torch.tensor(players)[None]
    )
    result = shapley(ours, x, target, reference=reference, players=players)
    members = np.array([[1, 2, 2], [2, 2, 1]])  # captum gives the value of a group to each, and adds up in float32
    assert_close(result.scores * members, expected.numpy())
