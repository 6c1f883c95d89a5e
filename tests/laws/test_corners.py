"""Corners where a law once broke: tiny differences, far logits, padding, rows on another axis, types."""

import numpy as np
import pytest
from support.accounts import assert_law
from support.gradcheck import check_gradients

from minidl import Tensor, grad, losses, nn, ops, optim
from minidl.explain import deeplift, lrp
from minidl.explain.multipliers import Multipliers
from minidl.explain.rules import NonlinearityRule, alpha_beta, basic, epsilon, rescale, reveal_cancel
from minidl.explain.table import Table


@pytest.mark.source("deeplift:rescale-rule")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("f", [ops.log, ops.sqrt, lambda x: x**2, lambda x: 1 / x, ops.tanh, ops.exp])
@pytest.mark.parametrize("x, reference", [(1e-8, 1e-9), (3e-4, 1e-5), (1.0, 1 + 1e-9), (1e4, 1e4 + 1e-3), (2e-8, 1e-8)])
def test_rescale_is_exact_at_every_scale_of_the_input(f, x, reference, dtype):
    if f is ops.exp:
        x, reference = x / 1e3, reference / 1e3
    result = deeplift(lambda h: f(h).sum(1), np.array([[x]], dtype), reference=np.array([[reference]], dtype))
    assert_law(result)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("far", [1e2, 1e4, 1e7])
def test_gradients_of_the_cross_entropy_sum_to_zero_however_unlikely_the_label(far, dtype):
    z = Tensor(np.array([[0.0, 0.3, -far]], dtype))
    g = grad(losses.cross_entropy(z, np.array([2])), z)
    assert abs(g.sum()) <= 4 * np.finfo(dtype).eps


@pytest.mark.parametrize("f", [ops.total, ops.mean, ops.amax, ops.softmax, ops.logsumexp])
@pytest.mark.parametrize("axis", [2, -3, 5])
def test_an_axis_that_is_not_there_is_refused(f, axis):
    with pytest.raises(ValueError, match=rf"axis must lie in -2..1 for an array of shape \(2, 3\), got {axis}"):
        f(Tensor(np.ones((2, 3))), axis)


def test_a_tape_keeps_the_running_mean_that_it_was_made_with():
    layer = nn.BatchNorm1d(2, dtype="float64").eval()
    x = np.random.default_rng(0).normal(size=(4, 2))
    y = layer(x).sum()
    before = grad(y, layer.W)
    layer.train()
    layer(x + 5)
    np.testing.assert_array_equal(grad(y, layer.W), before)


def test_relevance_refuses_a_model_whose_rows_are_not_on_the_first_axis():
    b = np.array([[1.0], [2.0], [4.0]])  # as many features as rows, so shapes alone tell nothing
    with pytest.raises(ValueError, match="does not keep the rows of x on the first axis"):
        lrp(lambda x: ops.transpose(ops.transpose(x) * 1.0 + b).sum(1), np.ones((3, 3)), rules=basic())


@pytest.mark.parametrize("rule", [basic(), epsilon(0.5), alpha_beta(2, -1)])
def test_a_bare_matrix_product_takes_the_rule_of_the_table(rule):
    rng = np.random.default_rng(0)
    x, W = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    expected = lrp(lambda t: ops.affine(t, W), x, 0, rules=rule).scores
    np.testing.assert_allclose(lrp(lambda t: t @ W, x, 0, rules=rule).scores, expected, rtol=1e-12)
    turned = lrp(lambda t: ops.transpose(W.T @ ops.transpose(t)), x[:1], 0, rules=rule).scores
    np.testing.assert_allclose(turned, expected[:1], rtol=1e-12)


@pytest.mark.parametrize("f", [ops.softmax, ops.logsumexp])
@pytest.mark.filterwarnings("ignore:.* saturates")
def test_expanded_softmax_holds_far_from_the_reference(f):
    def model(h):
        y = f(h, 1)
        return y[:, 0] if y.ndim == 2 else y

    x = np.array([[110.0, 0.0, 1.0]], np.float32)
    result = deeplift(model, x, reference=0.0, rules=rescale(), expand=True)
    assert np.isfinite(result.scores).all()
    assert_law(result)


@pytest.mark.source("lrp:bias-redistribution")
def test_a_bias_that_reads_padding_only_keeps_its_share():
    layer = nn.Conv2d(2, 1, 1, padding=1, rng=0, dtype="float64")
    layer.b = np.ones(1)
    result = lrp(lambda x: layer(x).sum((1, 2, 3)), np.ones((2, 2, 2, 2)), rules=basic(bias="redistribute"))
    assert_law(result)
    np.testing.assert_allclose(result.absorbed_as("bias"), [12.0, 12.0])  # the rim of a 4 x 4 output


def test_an_output_that_does_not_depend_on_the_input_is_all_bias():
    result = lrp(lambda x: ops.affine(Tensor(np.ones((2, 3))), np.ones((3, 1))), np.ones((2, 4)), 0)
    np.testing.assert_array_equal(result.absorbed_as("bias"), [3.0, 3.0])
    assert_law(result)
    contributions = deeplift(lambda x: Tensor(np.ones((2, 1))), np.ones((2, 4)), 0, reference=0.0)
    np.testing.assert_array_equal(contributions.scores, np.zeros((2, 4)))
    assert_law(contributions)


@pytest.mark.parametrize("constant", [np.arange(3), np.arange(3.0), np.array([True, False, True])])
@pytest.mark.parametrize("f", [lambda t, c: t * c, lambda t, c: c * t, lambda t, c: t + c, ops.maximum, ops.gate])
def test_constants_take_the_type_of_the_tensor(f, constant):
    t = Tensor(np.ones((2, 3), np.float32))
    y = f(t, constant)
    assert y.dtype == grad(y.sum(), t).dtype == np.float32
    result = deeplift(lambda h: ops.relu(f(h, constant)).sum(1), t.data, reference=0.5, rules=reveal_cancel())
    assert result.scores.dtype == np.float32


def test_backward_takes_numbers_and_tensors_as_upstream():
    x = Tensor(np.ones(2))
    for upstream in (np.full(2, 2.0), Tensor(np.full(2, 2.0)), [2.0, 2.0]):
        x.grad = None
        (x * 3).backward(upstream)
        assert isinstance(x.grad, np.ndarray)
        np.testing.assert_array_equal(x.grad, [6.0, 6.0])


@pytest.mark.parametrize("make", [optim.SGD, optim.RMSprop, optim.Adam])
def test_a_single_number_can_be_trained(make):
    class Temperature(nn.Module):
        def __init__(self):
            self.t = Tensor(3.0)

        def forward(self, x, rng=None):
            return x * self.t

    model = Temperature()
    optimiser = make(model.parameters(), lr=0.1)
    model(np.ones(1)).sum().backward()
    optimiser.step()
    assert model.t.item() < 3.0


def test_a_batch_without_rows_passes_forward_and_is_refused_by_explanations():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=0), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dense(8, 3, rng=1))
    x = np.zeros((0, 1, 6, 6), np.float32)
    y = model(x)
    assert y.shape == (0, 3)
    assert all((g == 0).all() for g in grad(y.sum(), list(model.parameters().values())))
    with pytest.raises(ValueError, match=r"x has no rows, got shape \(0, 1, 6, 6\)"):
        lrp(model, x, 0)


def test_a_state_that_does_not_fit_changes_nothing():
    model = nn.Sequential(nn.Dense(2, 2, rng=0), nn.Dense(2, 2, rng=1))
    before = model.state_dict()
    with pytest.raises(TypeError, match=r"load_state_dict: 1.b must be an array, got list"):
        model.load_state_dict({**{k: v + 1 for k, v in before.items()}, "1.b": [0.0, 0.0]})
    for path, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[path])


def test_the_mean_cross_entropy_is_the_mean_of_the_rows_and_of_its_twin():
    labels = np.array([2, 0, 1, 1])
    z = np.random.default_rng(0).normal(size=(4, 3))
    rows = ops.softmax_cross_entropy(z, labels)
    np.testing.assert_allclose(ops.softmax_cross_entropy(z, labels, mean=True), rows.mean(), rtol=1e-15)
    check_gradients(lambda t: ops.softmax_cross_entropy(t, labels, mean=True), z)
    t = Tensor(z)
    one = grad(ops.softmax_cross_entropy(t, labels, mean=True), t)
    np.testing.assert_allclose(one, grad(ops.mean(ops.softmax_cross_entropy(t, labels)), t), rtol=1e-12, atol=1e-15)


@pytest.mark.source("deeplift:revealcancel-rule")
@pytest.mark.parametrize("part", [2.0, -2.0])
def test_reveal_cancel_takes_the_mean_of_two_slopes_where_a_part_is_zero(part):
    x = np.array([[part, 0.0]])  # the second term's part is 0, on the other side of the first's
    W = np.array([[1.0], [1.0]])
    source = Tensor(x)
    y = ops.tanh(ops.affine(source, W, np.array([0.3]))).sum(1)
    table = Table(reveal_cancel(), NonlinearityRule, "test")
    m = Multipliers(y, source, np.zeros((1, 2)), table).walk(np.ones(1)).pos[0]
    slope = {at: 1 - np.tanh(0.3 + at) ** 2 for at in (0.0, part)}
    mean = 0.5 * slope[0.0] + 0.5 * slope[part]
    quotient = (np.tanh(0.3 + part) - np.tanh(0.3)) / part
    np.testing.assert_allclose(m, [quotient, 0.5 * (quotient + mean)], rtol=1e-12)  # where dx = 0: 0.5 (m+ + m-) w
