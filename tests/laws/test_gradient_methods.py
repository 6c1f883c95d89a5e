"""Deconvnet, guided backpropagation, integrated gradients, Grad-CAM: their laws, and each against a plain formula."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores
from support.networks import networks

from minidl import Tensor, nn, ops
from minidl.explain import (
    class_map,
    deconvnet,
    deeplift,
    grad_cam,
    gradient_times_input,
    guided_backprop,
    guided_grad_cam,
    integrated_gradients,
    saliency,
)
from minidl.explain.cam import enlarge
from minidl.explain.gradients import guided
from minidl.tape import Tape, gradient_on_arrays

seeds = given(seed=st.integers(0, 10_000))
METHODS = {"deconvnet": deconvnet, "guided_backprop": guided_backprop}


def two_layers(seed):
    rng = np.random.default_rng(seed)
    x, W, V, U = (rng.normal(size=s) for s in ((3, 4), (4, 5), (5, 5), (5, 2)))
    W[rng.random(W.shape) < 0.3] = 0

    def model(h):
        return ops.affine(ops.relu(ops.affine(ops.relu(ops.affine(h, W)), V)), U)

    return x, (W, V, U), model


@pytest.mark.source("deeplift:fig3", "deeplift:guided-backprop", "deeplift:deconvnet", "deeplift:saliency")
@given(i1=st.floats(0.1, 10), i2=st.floats(0.1, 10))
def test_the_minimum_belongs_to_the_smaller_input_or_to_i1_whichever_it_is(i1, i2):
    assume(abs(i1 - i2) > 1e-3)
    x = np.array([[i1, i2]])

    def minimum(i):  # o = i1 - max(0, i1 - i2)
        return i[:, 0] - ops.relu(i[:, 0] - i[:, 1])

    smaller = x * (x == x.min())
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(integrated_gradients(minimum, x, reference=0.0).scores, smaller, **close)
    np.testing.assert_array_equal(gradient_times_input(minimum, x).scores, smaller)
    np.testing.assert_array_equal(saliency(minimum, x).scores, x == x.min())
    # the signal to the ReLU is negative, and is clipped
    np.testing.assert_array_equal(guided_backprop(minimum, x, times_input=True).scores, [[i1, 0]])
    np.testing.assert_array_equal(guided_backprop(minimum, x).scores, [[1, 0]])
    np.testing.assert_array_equal(deconvnet(minimum, x).scores, [[1, 0]])


@pytest.mark.source("deeplift:deconvnet", "deeplift:guided-backprop", "deeplift:saliency")
@seeds
def test_three_ways_through_a_relu(seed):
    x, (W, V, U), model = two_layers(seed)
    z = x @ W
    y = np.maximum(z, 0) @ V
    top = np.broadcast_to(U[:, 0], (3, 5))

    def down(at_relu):
        return at_relu(at_relu(top, y) @ V.T, z) @ W.T

    def positive(g):
        return np.maximum(g, 0)

    ways = {
        "gradient": (saliency(model, x, 0, signed=True), down(lambda g, h: g * (h > 0))),
        "deconvnet": (deconvnet(model, x, 0), down(lambda g, h: positive(g))),
        "guided": (guided_backprop(model, x, 0), down(lambda g, h: positive(g) * (h > 0))),
    }
    for result, expected in ways.values():
        np.testing.assert_allclose(result.scores, expected, rtol=1e-10, atol=1e-12)
        assert result.expected is None and "promises no sum" in str(result)
    reference = np.full((1, 4), 0.5)
    times = guided_backprop(model, x, 0, times_input=True, reference=reference)
    np.testing.assert_allclose(times.scores, ways["guided"][1] * (x - 0.5), rtol=1e-10, atol=1e-12)


@pytest.mark.source("deeplift:guided-backprop")
@given(network=networks(activations=["relu"]))
def test_guided_backpropagation_sends_nothing_negative_below_a_relu(network):
    x = Tensor(network.x)
    y = network(x)

    def rule(node, g):
        if type(node.op).__name__ != "Relu":
            return gradient_on_arrays(node, g)
        below = guided(g, node.inputs[0].data)
        assert (below >= 0).all() and (below[node.inputs[0].data <= 0] == 0).all()
        return (below,)

    weights = np.broadcast_to([1.0, 0.0], y.shape)
    by_hand = Tape(y, [x], "gradient").walk(weights, rule).get(x, np.zeros_like(network.x))
    np.testing.assert_array_equal(guided_backprop(network, network.x, 0).scores, by_hand)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@given(network=networks(activations=["tanh", "sigmoid"], winners=False))
def test_without_relus_both_are_the_gradient(method, network):
    np.testing.assert_array_equal(
        method(network, network.x, 1).scores, saliency(network, network.x, 1, signed=True).scores
    )


def slope_of_error(model, x, reference, steps):
    """The exponent a of |residual| ~ steps^-a, by least squares over several numbers of steps, of the largest row."""
    errors = [abs(integrated_gradients(model, x, 0, reference=reference, steps=n).residual).max() for n in steps]
    return -np.polyfit(np.log(steps), np.log(errors), 1)[0]


@pytest.mark.source("deeplift:integrated-gradients")
def test_the_error_falls_as_the_square_on_smooth_networks_and_in_proportion_on_relu_networks():
    rng = np.random.default_rng(3)
    x, W, b, V = rng.normal(size=(20, 6)), rng.normal(size=(6, 30)), rng.normal(size=30), rng.normal(size=(30, 1))
    steps = np.array([16, 23, 32, 45, 64, 91, 128])

    def model(f):
        return lambda h: ops.affine(f(ops.affine(h, W, b)), V)

    smooth = slope_of_error(model(ops.tanh), x, 0.0, steps)
    kinked = slope_of_error(model(ops.relu), x, 0.0, steps)
    # a kink lies anywhere in its interval, so single errors scatter between 0 and their bound, in proportion to 1/steps
    assert 1.9 < smooth < 2.1
    assert 0.7 < kinked < 1.3


@pytest.mark.source("deeplift:integrated-gradients")
@given(network=networks(activations=["tanh", "softplus"], winners=False), n=st.sampled_from([1, 7]))
def test_integrated_gradients_are_the_mean_gradient_at_the_midpoints(network, n):
    x, x0 = network.x, network.reference
    points = [x0 + (k + 0.5) / n * (x - x0) for k in range(n)]
    mean = sum(saliency(network, p, 0, signed=True).scores for p in points) / n
    result = integrated_gradients(network, x, 0, reference=x0, steps=n)
    assert_equal_scores(result.scores, (x - x0) * mean, 10 * (result.flow + abs((x - x0) * mean).max()))
    gap = network(Tensor(x)).data[:, 0] - network(Tensor(np.broadcast_to(x0, x.shape))).data[:, 0]
    np.testing.assert_allclose(result.expected, gap, atol=1e-12)


def test_the_midpoint_rule_is_exact_for_products():
    x = np.random.default_rng(0).normal(size=(4, 3))
    result = integrated_gradients(lambda h: h[:, 0] * h[:, 1] + h[:, 2] ** 2, x, reference=0.3, steps=1)
    np.testing.assert_allclose(result.residual, 0, atol=1e-14)
    np.testing.assert_allclose(result.scores[:, 2], x[:, 2] ** 2 - 0.09)


@given(network=networks(activations=(), gates=False, winners=False))
def test_on_a_linear_network_it_is_rescale_and_gradient_times_input(network):
    x, x0 = network.generic(), network.reference
    path = integrated_gradients(network, x, 1, reference=x0, steps=3)
    rescaled = deeplift(network, x, 1, reference=x0)
    flow = 10 * np.maximum(path.flow, rescaled.flow)
    assert_equal_scores(path.scores, rescaled.scores, flow)
    assert_equal_scores(path.scores, gradient_times_input(network, x, 1, reference=x0).scores, flow)


@pytest.mark.source("deeplift:references")
@pytest.mark.parametrize("method", [integrated_gradients, deeplift])
@given(network=networks(winners=False), seed=st.integers(0, 99))
def test_over_several_references_everything_is_the_mean(method, network, seed):
    x = network.x
    references = np.random.default_rng(seed).normal(size=(3, *x.shape))
    together = method(network, x, 0, reference=references, axis=0)
    single = [method(network, x, 0, reference=r) for r in references]
    for name in ("scores", "expected", "reference_output", "residual"):
        mean = np.mean([getattr(e, name) for e in single], 0)
        scale = max(abs(getattr(e, name)).max() for e in single) + together.flow.max()
        np.testing.assert_allclose(getattr(together, name), mean, atol=1e-13 * scale)
    last = np.moveaxis(references, 0, -1)
    np.testing.assert_array_equal(method(network, x, 0, reference=last, axis=-1).scores, together.scores)
    one_row_each = method(network, x, 0, reference=references[:, :1], axis=0)
    by_row = [method(network, x, 0, reference=r[:1]).scores for r in references]
    np.testing.assert_allclose(one_row_each.scores, np.mean(by_row, 0), atol=1e-13 * one_row_each.flow.max())


@pytest.mark.parametrize(
    "target", [1, np.array([0, 2, 1]), np.array([0.5, -1.0, 0.0]), np.eye(3), lambda y: y[:, 2] * y[:, 2]]
)
def test_targets_of_every_kind_are_repeated_with_the_points_of_the_way(target):
    rng = np.random.default_rng(0)
    x, W, V = rng.normal(size=(3, 3)), rng.normal(size=(3, 4)), rng.normal(size=(4, 3))

    def model(h):
        return ops.affine(ops.tanh(ops.affine(h, W)), V)

    whole = integrated_gradients(model, x, target, reference=0.0, steps=70)
    assert abs(whole.residual).max() < 1e-3 * abs(whole.expected).max()
    for k in range(3):
        own = target[k : k + 1] if isinstance(target, np.ndarray) and (target.ndim == 2 or k is None) else target
        own = target[k] if isinstance(target, np.ndarray) and target.dtype.kind == "i" else own
        row = integrated_gradients(model, x[k : k + 1], own, reference=0.0, steps=70)
        np.testing.assert_allclose(row.scores, whole.scores[k : k + 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("steps", [0, -3, 2.0, True])
def test_steps_that_are_no_number_of_steps(steps):
    with pytest.raises(ValueError, match="steps must be an int of at least 1, got"):
        integrated_gradients(lambda h: h.sum(1), np.ones((1, 2)), reference=0.0, steps=steps)


# ---- Grad-CAM -------------------------------------------------------------------------------------------------------


def network(seed=0, top=None):
    top = top or [nn.GlobalAvgPool(), nn.Dense(4, 3, rng=seed + 2, dtype="float64")]
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, rng=seed, dtype="float64"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, rng=seed + 1, dtype="float64"), nn.Tanh()), *top,
    )  # fmt: skip


@pytest.mark.source("deeplift:grad-cam")
@seeds
def test_under_a_linear_top_it_is_the_class_activation_map(seed):
    model, x = network(seed), np.random.default_rng(seed).normal(size=(3, 2, 8, 6))
    maps = model[3](model[2](model[1](model[0](x)))).data
    cam = (maps * model[5].W.data[:, 1, None, None]).sum(1)
    np.testing.assert_allclose(class_map(model, x, 1, layer="3", relu=False), cam / 12, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(class_map(model, x, 1, layer=model[3]), np.maximum(cam, 0) / 12, rtol=1e-10, atol=1e-13)


@pytest.mark.source("deeplift:grad-cam")
def test_the_weights_are_mean_gradients_found_by_differences():
    top = [nn.Flatten(), nn.Dense(48, 3, rng=7, dtype="float64"), nn.Tanh(), nn.Dense(3, 2, rng=8, dtype="float64")]
    model, x = network(1, top), np.random.default_rng(1).normal(size=(2, 2, 8, 6))
    below, above = model[:4], model[4:]
    maps, h = below(x).data, 1e-6
    weights = np.empty((2, 4))
    for k in range(4):  # moving a whole map moves the target by the sum of its gradients
        moved = [above(maps + sign * h * (np.arange(4) == k)[None, :, None, None]).data[:, 0] for sign in (1, -1)]
        weights[:, k] = (moved[0] - moved[1]) / (2 * h) / 12
    expected = np.maximum((weights[:, :, None, None] * maps).sum(1), 0)
    np.testing.assert_allclose(class_map(model, x, 0, layer="3"), expected, atol=1e-8)


@pytest.mark.source("deeplift:guided-grad-cam")
def test_guided_grad_cam_is_the_product_of_the_two():
    model, x = network(), np.random.default_rng(0).normal(size=(2, 2, 8, 6))
    by_map, by_relu = grad_cam(model, x, 2, layer="3.1"), guided_backprop(model, x, 2)
    assert by_map.scores.shape == x.shape
    np.testing.assert_array_equal(by_map.scores[:, 0], by_map.scores[:, 1])
    both = guided_grad_cam(model, x, 2, layer="3.1")
    np.testing.assert_array_equal(both.scores, by_map.scores * by_relu.scores)


def test_sequences_have_maps_too():
    model = nn.Sequential(
        conv=nn.Conv1d(4, 3, 5, rng=0), act=nn.ReLU(), pool=nn.GlobalAvgPool(), top=nn.Dense(3, 2, rng=1)
    )
    x = np.random.default_rng(0).random((2, 4, 20), np.float32)
    result = grad_cam(model, x, 0, layer="act")
    assert result.scores.shape == x.shape and result.scores.dtype == np.float32
    assert class_map(model, x, 0, layer="act").shape == (2, 16)


@pytest.mark.parametrize("n, size", [(1, 4), (3, 3), (3, 7), (4, 9), (5, 2)])
def test_enlarging_is_linear_between_the_middles(n, size):
    a = np.random.default_rng(0).normal(size=(2, n, 3))
    middles, wanted = (np.arange(n) + 0.5) / n, (np.arange(size) + 0.5) / size
    expected = np.stack([[np.interp(wanted, middles, a[i, :, j]) for j in range(3)] for i in range(2)])
    np.testing.assert_allclose(enlarge(a, 1, size), expected.transpose(0, 2, 1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "layer, sentence",
    [
        ("conv9", r"no layer 'conv9' was met on the way from x; there are 5, 4, 3\.1, 3\.0, 2, 1, 0"),
        ("5", r"layer '5' gives \(2, 3\), which are no maps \(N, K, \.\.\.\) over an input of shape \(2, 2, 8, 6\)"),
        (nn.ReLU(), "no layer ReLU was met"),
    ],
)
def test_layers_without_maps_are_refused(layer, sentence):
    with pytest.raises(ValueError, match=sentence):
        grad_cam(network(), np.zeros((2, 2, 8, 6)), 0, layer=layer)


@pytest.mark.parametrize("method", [grad_cam, guided_grad_cam, class_map])
@pytest.mark.parametrize("layer", [None, 0, [nn.ReLU()]])
def test_a_layer_is_a_path_or_a_module(method, layer):
    with pytest.raises(TypeError, match=rf"{method.__name__}: layer must be a layer's path .*; got (None|0|\[.*\])"):
        method(network(), np.zeros((2, 2, 8, 6)), 0, layer=layer)


@pytest.mark.parametrize("method", [grad_cam, guided_grad_cam, class_map])
@pytest.mark.parametrize("shape", [(2, 12), (2, 1, 3, 4)])
def test_a_model_without_maps_is_told_so(method, shape):
    dense = nn.Sequential(nn.Flatten(), nn.Dense(12, 4, rng=0, dtype="float64"), nn.ReLU(), nn.Dense(4, 3, rng=0))
    with pytest.raises(
        ValueError, match=r"needs a layer whose output is maps .* of shape \(2, .*; this model has none"
    ):
        method(dense, np.zeros(shape), 0, layer="1")


def test_a_layer_that_is_used_twice_counts_where_it_is_used_last():
    conv = nn.Conv2d(2, 2, 3, padding=1, rng=0, dtype="float64")
    model = nn.Sequential(conv, nn.ReLU(), conv, nn.GlobalAvgPool())
    x = np.random.default_rng(0).normal(size=(1, 2, 5, 5))
    last = model[:3](x).data[:, 0] / 25
    np.testing.assert_allclose(class_map(model, x, 0, layer=conv, relu=False), last)
