"""Convolutions with kernels drawn for each patch, and the network that has dropout behind all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.masks import Scripted, chances, every, mean_and_covariance
from support.tolerance import assert_close, rounding

from minidl import Tensor, backend, nn, no_grad
from minidl.bayes import convolutions, masked_convolution, mc_predict
from minidl.nn import Conv2d, Dropout, GaussianDropout, MaxPool2d, Sequential
from minidl.nn.models import bayesian_lenet

seeds = given(seed=st.integers(0, 10_000))


@st.composite
def convolutions_and_images(draw, whole=False):
    """A Conv2d in float64 and images that fit it; with `whole`, of whole numbers, whose sums are exact in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    c_in, c_out, n = draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.sampled_from([0, 1, (0, 2), "same"]))
    layer = Conv2d(c_in, c_out, kernel, stride, padding, draw(st.booleans()), dtype="float64")
    numbers = (lambda shape: rng.integers(-9, 10, shape)) if whole else (lambda shape: rng.normal(size=shape))
    layer.W = numbers(layer.W.shape)
    if layer.b is not None:
        layer.b = numbers(layer.b.shape)
    return layer, numbers((n, c_in, draw(st.integers(3, 6)), draw(st.integers(3, 6)))).astype(float)


def one_by_one(layer, x, masks):
    """The sentence of the text as loops: of each image, at each place, the patch times each kernel as it was drawn."""
    (kh, kw), (sh, sw) = layer.kernel, layer.stride
    if layer.padding == "same":
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(x.shape[2:], layer.stride, layer.kernel)]
        widths = [(t // 2, t - t // 2) for t in total]
    else:
        widths = [(p, p) for p in (layer.padding if isinstance(layer.padding, tuple) else [layer.padding] * 2)]
    x, y = np.pad(x, ((0, 0), (0, 0), *widths)), np.zeros(masks.shape)
    for n, k, i, j in np.ndindex(*masks.shape):
        patch = x[n, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
        b = 0 if layer.b is None else layer.b.data[k]
        y[n, k, i, j] = (patch * (layer.W.data[k] * masks[n, k, i, j])).sum() + b * masks[n, k, i, j]
    return y


def size_of(layer, x):
    """The largest sum of absolute terms that an element of the layer's output may have."""
    return abs(layer.W.data).sum() * abs(x).max() + (0 if layer.b is None else abs(layer.b.data).max())


# ------------------------------------------------------------------- a mask on each pair of kernel and patch is dropout


@pytest.mark.source("gal:kernel-patch-masks")
@given(convolutions_and_images(whole=True), st.integers(0, 10_000))
def test_masks_on_pairs_of_kernel_and_patch_are_dropout_behind_the_convolution_bit_for_bit(drawn, seed):
    layer, x = drawn
    noisy = Sequential(layer, noise := Dropout(0.5, scaled=False))(x, rng=seed).data
    masks = noise(np.ones(noisy.shape), rng=seed).data
    assert set(np.unique(masks)) <= {0, 1}
    np.testing.assert_array_equal(masked_convolution(x, layer, masks).data, noisy)


@pytest.mark.source("gal:kernel-patch-masks", "gal:conv-as-matmul")
@given(convolutions_and_images(), st.integers(0, 10_000), st.sampled_from([Dropout(0.3), GaussianDropout(0.5)]))
def test_other_noise_on_the_output_is_noise_on_pairs_to_rounding(drawn, seed, noise):
    layer, x = drawn
    noisy = Sequential(layer, noise)(x, rng=seed).data
    masks = noise(np.ones(noisy.shape), rng=seed).data
    scale = size_of(layer, x) * max(1, abs(masks).max())
    assert_close(masked_convolution(x, layer, masks).data, noisy, scale=scale)
    assert_close(masked_convolution(x, layer, masks).data, one_by_one(layer, x, masks), scale=scale)


@pytest.mark.source("gal:kernel-patch-masks")
@given(convolutions_and_images(), st.integers(0, 10_000))
def test_both_send_the_same_gradients_to_kernels_biases_and_images(drawn, seed):
    layer, x = drawn
    parameters, found = layer.parameters(), []
    noise = Dropout(0.5, scaled=False)
    masks = noise(np.ones(layer(x).shape), rng=seed).data
    signal = np.random.default_rng(seed).normal(size=masks.shape)
    for function in (lambda x: masked_convolution(x, layer, masks), lambda x: noise(layer(x), rng=seed)):
        source = Tensor(x)
        for p in parameters.values():
            p.grad = None
        (function(source) * signal).sum().backward()
        found.append([source.grad, *(p.grad.copy() for p in parameters.values())])
    scale = abs(signal).sum() * (abs(x).max() + abs(layer.W.data).max() + 1)
    for a, b in zip(*found, strict=True):
        assert_close(a, b, scale=scale)


@pytest.mark.source("gal:kernel-patch-masks")
@given(seed=st.integers(0, 10_000), p=st.floats(0.05, 0.95))
def test_pairs_of_kernel_and_patch_come_and_go_by_themselves(seed, p):
    """Of all 2^8 masks of two kernels and four patches: means (1 - p) y, and no covariance but the variances."""
    rng = np.random.default_rng(seed)
    layer, x, kept = Conv2d(1, 2, 2, rng=rng, dtype="float64"), rng.normal(size=(1, 1, 3, 3)), every(8)
    drawn = masked_convolution(np.repeat(x, len(kept), 0), layer, kept.reshape(-1, 2, 2, 2)).data.reshape(-1, 8)
    mean, covariance = mean_and_covariance(drawn, chances(kept, p))
    y, scale = layer(x).data.ravel(), size_of(layer, x)
    assert_close(mean, (1 - p) * y, scale=scale)
    assert_close(covariance, p * (1 - p) * np.diag(y**2), scale=scale**2)


def test_images_are_taken_a_block_at_a_time(monkeypatch):
    layer, x = Conv2d(2, 3, 2, rng=0, dtype="float64"), np.random.default_rng(0).normal(size=(5, 2, 4, 4))
    masks, sizes = np.random.default_rng(1).integers(0, 2, (5, 3, 3, 3)), []
    whole = masked_convolution(x, layer, masks).data
    multiply = convolutions.ops.multiply
    monkeypatch.setattr(convolutions, "NUMBERS", 2 * layer.W.size * 9 + 1)
    monkeypatch.setattr(convolutions.ops, "multiply", lambda a, b: sizes.append(b.shape) or multiply(a, b))
    np.testing.assert_array_equal(masked_convolution(x, layer, masks).data, whole)
    assert [shape[0] for shape in sizes if len(shape) == 5] == [2, 2, 1]


def test_no_images_are_no_error():
    masks = np.ones((0, 3, 3, 3), np.float32)
    assert masked_convolution(np.ones((0, 2, 4, 4), np.float32), Conv2d(2, 3, 2), masks).shape == masks.shape


def test_float32_stays_float32():
    x = Tensor(np.ones((2, 2, 4, 4), np.float32))
    y = masked_convolution(x, layer := Conv2d(2, 3, 2), np.ones((2, 3, 3, 3)))
    y.sum().backward()
    assert y.dtype == np.float32 and all(leaf.grad.dtype == np.float32 for leaf in (x, layer.W, layer.b))


def test_every_array_module_gives_numpys_numbers(xp):
    found = []
    for module in (backend.load("numpy"), xp):
        with backend.use(module.__name__):
            layer = Conv2d(2, 3, 2, 2, "same", rng=1, dtype="float64")
            x = Tensor(module.asarray(np.random.default_rng(0).normal(size=(2, 2, 5, 5))))
            masks = module.asarray(np.random.default_rng(1).integers(0, 2, (2, 3, 3, 3)))
            (y := masked_convolution(x, layer, masks)).sum().backward()
            assert backend.xp(y.data) is module
            found.append([backend.to_numpy(a) for a in (y.data, x.grad, layer.W.grad)])
    for a, b in zip(*found, strict=True):
        assert_close(a, b, scale=100.0)


# ------------------------------------------------------------------------------------------------- the Bayesian network


def by_hand(model, x, masks):
    """The network as loops over places: convolution, mask, the largest of 2 x 2; then the inner products."""
    h = x
    for k, mask in enumerate(masks[:-1], 1):
        y = one_by_one(layer := model[f"conv{k}"], h, np.ones(layer(h).shape)) * mask
        n, c, side, _ = y.shape
        h = y[:, :, : side // 2 * 2, : side // 2 * 2].reshape(n, c, side // 2, 2, side // 2, 2).max((3, 5))
    h = h.reshape(len(x), -1) @ model.dense1.W.data + model.dense1.b.data
    return (h * (h > 0) * masks[-1]) @ model.dense2.W.data + model.dense2.b.data


@pytest.mark.source("gal:bayesian-cnn")
@seeds
def test_dropout_stands_behind_each_convolution_before_its_pooling_and_behind_the_inner_product(seed):
    rng = np.random.default_rng(seed)
    small = dict(size=6, channels=(2, 3), kernel=3, padding="same", hidden=4, rng=rng)
    model = bayesian_lenet("everywhere", 0.5, noise=lambda p: Dropout(p, scaled=False), **small)
    for p in model.parameters().values():
        p.data = rng.normal(size=p.shape)
    x = rng.normal(size=(2, 1, 6, 6))
    masks = [rng.integers(0, 2, shape) for shape in ((2, 2, 6, 6), (2, 3, 3, 3), (2, 4))]
    scale = np.prod([1 + abs(p.data).sum() for p in model.parameters().values()]) * abs(x).max()
    assert_close(model(x, rng=Scripted(*masks)).data, by_hand(model, x, masks), scale=scale)


class Counting(np.random.Generator):
    """Notes the shape of everything that is drawn."""

    def __init__(self):
        super().__init__(np.random.PCG64(0))
        self.shapes = []

    def random(self, size, dtype):
        self.shapes.append(size)
        return super().random(size, dtype)


@pytest.mark.source("gal:bayesian-cnn")
@pytest.mark.parametrize(
    "where, drawn",
    [("everywhere", [(2, 20, 24, 24), (2, 50, 8, 8), (2, 500)]), ("inner", [(2, 500)]), ("nowhere", [])],
)
def test_the_lenet_and_where_it_draws(where, drawn):
    model, plain, rng = bayesian_lenet(where, rng=3), bayesian_lenet("nowhere", rng=3), Counting()
    x = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    assert model(x, rng=rng).shape == (2, 10) and rng.shapes == drawn
    assert sum(p.size for p in model.parameters().values()) == 431_080
    assert all(layer.p == 0.5 for layer in model if isinstance(layer, Dropout))
    np.testing.assert_array_equal(model(x).data, plain(x).data)  # the same first weights, and noise passes on its mean


def test_the_small_one_reads_the_embedded_digits_and_other_noise_may_stand_in_it():
    model = bayesian_lenet(noise=GaussianDropout, p=0.25, size=8, kernel=3, padding="same")
    assert mc_predict(model, np.ones((3, 1, 8, 8), np.float32), 4, 0).shape == (4, 3, 10)
    assert [layer.alpha for layer in model if isinstance(layer, GaussianDropout)] == [0.25] * 3


@pytest.mark.source("gal:bayesian-cnn", "gal:standard-dropout")
@given(seed=st.integers(0, 10_000), p=st.floats(0.05, 0.95))
def test_what_the_pooling_makes_of_the_mean_lies_below_the_mean_of_what_it_makes(seed, p):
    """Jensen's inequality for the largest of four: why passing on means fails there. Over all 2^4 masks."""
    rng = np.random.default_rng(seed)
    layer, x, kept = Conv2d(1, 1, 2, rng=rng, dtype="float64"), rng.normal(size=(1, 1, 3, 3)), every(4)
    model = Sequential(layer, Dropout(p, scaled=False), MaxPool2d(2))
    with no_grad():
        passes = model(np.repeat(x, 16, 0), rng=Scripted(kept.reshape(-1, 1, 2, 2))).data.ravel()
        standard, y = model(x).item(), layer(x).data.ravel()
    mean, scale = chances(kept, p) @ passes, size_of(layer, x)
    assert_close(standard, (1 - p) * y.max(), scale=scale)
    order = np.sort(y)[::-1]  # the largest that is kept; 0 where one that is dropped is larger
    assert_close(mean, sum(p**k * (1 - p) * max(v, 0) for k, v in enumerate(order)) + (1 - p) ** 4 * min(order[0], 0),
                 scale=scale)  # fmt: skip
    assert mean >= standard - rounding(np.float64, scale)


# ------------------------------------------------------------------------------------------------------ what is refused


IMAGES = np.ones((2, 1, 4, 4), np.float32)


@pytest.mark.parametrize(
    "make, error, sentence",
    [
        (lambda: bayesian_lenet("somewhere"), ValueError,
         "bayesian_lenet: where must be one of everywhere, inner, nowhere, got 'somewhere'"),
        (lambda: bayesian_lenet(size=8), ValueError,
         "size 8 is too small for 2 convolutions of 5 x 5, each pooled by 2 x 2; use a smaller kernel"),
        (lambda: bayesian_lenet(p=1.0), ValueError, r"Dropout: p, the probability .* \[0, 1\), got 1.0"),
        (lambda: bayesian_lenet(channels=(0, 5)), ValueError, "Conv2d: c_out must be a positive int, got 0"),
        (lambda: bayesian_lenet(hidden=0), ValueError, "Dense: n_out must be a positive int, got 0"),
        (lambda: bayesian_lenet(rng=None), TypeError, "bayesian_lenet: rng must be"),
        (lambda: masked_convolution(IMAGES, nn.Dense(2, 2), IMAGES), TypeError, "layer must be Conv2d, got Dense"),
        (lambda: masked_convolution(IMAGES[0], Conv2d(1, 2, 3), IMAGES), ValueError,
         r"Conv2d expects \(N, C, H, W\), got \(1, 4, 4\)"),
        (lambda: masked_convolution(IMAGES, Conv2d(1, 2, 5), IMAGES), ValueError, "does not fit an input of"),
        (lambda: masked_convolution(IMAGES, Conv2d(1, 2, 3), IMAGES), ValueError,
         r"masked_convolution: masks must have the shape of the output, \(2, 2, 2, 2\), got \(2, 1, 4, 4\)"),
    ],
)  # fmt: skip
def test_what_is_refused(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()
