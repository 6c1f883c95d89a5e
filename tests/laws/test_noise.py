"""Noise layers: on features or on weights, one draw a data point, and what it does to a linear layer, exactly."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.accounts import assert_equal_scores, assert_law
from support.masks import Scripted, chances, every, mean_and_covariance
from support.tolerance import assert_close, difference

import minidl
from minidl import Tensor, backend, nn, no_grad
from minidl.explain import deeplift, lrp
from minidl.explain.rules import alpha_beta, epsilon
from minidl.nn import AdditiveNoise, Conv2d, Dense, DropConnect, Dropout, GaussianDropout, noise

seeds = given(seed=st.integers(0, 10_000))
ALL = {
    "Dropout": lambda layer: nn.Sequential(Dropout(0.3), layer),
    "Dropout, unscaled": lambda layer: nn.Sequential(Dropout(0.3, scaled=False), layer),
    "GaussianDropout": lambda layer: nn.Sequential(GaussianDropout(0.4), layer),
    "DropConnect": lambda layer: DropConnect(layer, 0.3),
    "DropConnect, unscaled": lambda layer: DropConnect(layer, 0.3, scaled=False),
    "AdditiveNoise": lambda layer: AdditiveNoise(layer, 0.4),
}
each = pytest.mark.parametrize("name", ALL)


def dense(rng, n_in=3, n_out=2, dtype="float64"):
    layer = Dense(n_in, n_out, rng=rng, dtype=dtype)
    layer.b = rng.normal(size=n_out)
    return layer


# ------------------------------------------------------------------------------- what noise is: weights drawn from q


@pytest.mark.source("gal:feature-to-weight", "gal:srt-dropout")
@given(seed=st.integers(0, 10_000), n_in=st.integers(1, 9), n_out=st.integers(1, 9))
def test_masks_on_features_are_masks_on_rows_of_weights_bit_for_bit(seed, n_in, n_out):
    rng = np.random.default_rng(seed)
    h, layer = rng.normal(size=(4, n_in)), Dense(n_in, n_out, bias=False, rng=rng, dtype="float64")
    eps = rng.integers(0, 2, (4, n_in))
    model = nn.Sequential(Dropout(0.5, scaled=False), layer)
    M = layer.W.data
    for k in range(4):
        of_features = model(h[k : k + 1], rng=Scripted(eps[k : k + 1])).data
        of_weights = h[k : k + 1] @ (np.diag(eps[k].astype(float)) @ M)
        np.testing.assert_array_equal(of_features, of_weights)


@pytest.mark.source("gal:feature-to-weight", "gal:srt-mgn")
@given(seed=st.integers(0, 10_000), scaled=st.booleans())
def test_other_noise_on_features_is_noise_on_rows_of_weights_to_rounding(seed, scaled):
    rng = np.random.default_rng(seed)
    h, layer = rng.normal(size=(4, 5)), Dense(5, 3, bias=False, rng=rng, dtype="float64")
    eps = rng.integers(0, 2, (4, 5)) if scaled else rng.normal(size=(4, 5)).astype(np.float32)
    factor = eps / 0.7 if scaled else 1 + 0.5 * eps.astype(float)  # the root of the variance 0.25
    y = nn.Sequential(Dropout(0.3) if scaled else GaussianDropout(0.25), layer)(h, rng=Scripted(eps)).data
    W = factor[:, :, None] * layer.W.data
    assert_close(y, np.einsum("ni,nio->no", h, W), scale=np.einsum("ni,nio->no", abs(h), abs(W)).max())


@pytest.mark.source("gal:srt-dropconnect")
@given(seed=st.integers(0, 10_000), scaled=st.booleans(), times=st.integers(0, 2))
def test_drop_connect_has_a_mask_on_every_weight_for_each_data_point(seed, scaled, times):
    rng = np.random.default_rng(seed)
    layer, x = dense(rng), rng.normal(size=(4, *[2, 3][:times], 3))
    eps = rng.integers(0, 2, (4, 3, 2))
    y = DropConnect(layer, 0.3, scaled)(x, rng=Scripted(eps)).data
    W = layer.W.data * eps / (0.7 if scaled else 1)
    expected = np.stack([x[k] @ W[k] + layer.b.data for k in range(4)])  # the same draw at all times of a data point
    assert_close(y, expected, scale=(abs(x).sum(-1).max() * abs(W).max() + abs(layer.b.data).max()))


@pytest.mark.source("gal:srt-additive")
@given(seed=st.integers(0, 10_000), times=st.integers(0, 2))
def test_additive_noise_has_a_variance_alpha_on_every_weight_for_each_data_point(seed, times):
    rng = np.random.default_rng(seed)
    layer, x = dense(rng), rng.normal(size=(4, *[2, 3][:times], 3))
    eps = rng.normal(size=(4, 3, 2)).astype(np.float32)
    y = AdditiveNoise(layer, 0.25)(x, rng=Scripted(eps)).data
    W = layer.W.data + 0.5 * eps.astype(float)
    expected = np.stack([x[k] @ W[k] + layer.b.data for k in range(4)])
    assert_close(y, expected, scale=(abs(x).sum(-1).max() * abs(W).max() + abs(layer.b.data).max()))


@pytest.mark.source("gal:srt-dropconnect", "gal:srt-additive")
@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1), (2, "same"), ((1, 2), (0, 2))])
def test_a_convolutions_kernels_are_drawn_for_each_image(stride, padding):
    rng = np.random.default_rng(0)
    layer = Conv2d(2, 3, (3, 2), stride, padding, rng=rng, dtype="float64")
    layer.b = rng.normal(size=3)
    x, eps = rng.normal(size=(4, 2, 7, 6)), rng.integers(0, 2, (4, 12, 3))
    dropped = DropConnect(layer, 0.3, scaled=False)(x, rng=Scripted(eps)).data
    added = AdditiveNoise(layer, 0.25)(x, rng=Scripted(eps)).data
    W = layer.W.data.copy()
    for k in range(4):
        kernels = eps[k].T.reshape(W.shape)
        for y, drawn in ((dropped, W * kernels), (added, W + 0.5 * kernels)):
            layer.W = drawn
            assert_close(y[k], layer(x[k : k + 1]).data[0], scale=abs(x).max() * abs(drawn).sum() + 1)
        layer.W = W


# --------------------------------------------------------------------- its mean and its covariance, by all its values


def outputs(name, layer, x):
    """What the layer makes of x for all noise there is, and the probabilities; Gaussian noise by its two-point twin.

    A sign of either kind with probability 1/2 has the mean 0 and the variance 1 of a standard normal, and no more is
    needed for the first two moments of something linear in the noise.
    """
    on_weights = name.startswith(("DropConnect", "Additive"))
    kept = every(layer.W.size if on_weights else layer.n_in)
    gaussian = name.startswith(("Gaussian", "Additive"))
    w = chances(kept, 0.5 if gaussian else 0.3)
    script = 2 * kept - 1 if gaussian else kept
    if on_weights:
        script = script.reshape(-1, *layer.W.shape)
    return ALL[name](layer)(np.repeat(x, len(kept), 0), rng=Scripted(script)).data, w


@pytest.mark.source(
    "gal:row-factorisation", "gal:srt-dropout", "gal:srt-mgn", "gal:srt-dropconnect", "gal:srt-additive",
    "gal:standard-dropout",
)  # fmt: skip
@each
@given(seed=st.integers(0, 10_000))
def test_mean_and_covariance_behind_a_linear_layer(name, seed):
    rng = np.random.default_rng(seed)
    layer, x = dense(rng), rng.normal(size=(1, 3))
    mean, covariance = mean_and_covariance(*outputs(name, layer, x))
    M, square = layer.W.data, x[0] ** 2
    factor = {"scaled": 0.3 / 0.7, "unscaled": 0.3 * 0.7, "gaussian": 0.4}[
        "unscaled" if "unscaled" in name else "gaussian" if name in ("GaussianDropout", "AdditiveNoise") else "scaled"
    ]
    by_rows = factor * M.T @ np.diag(square) @ M  # what a row sends out comes and goes together
    expected = {
        "Dropout": by_rows,
        "GaussianDropout": by_rows,
        "DropConnect": np.diag(np.diag(by_rows)),  # each weight by itself: the same variances, no covariances
        "AdditiveNoise": 0.4 * square.sum() * np.eye(2),
    }[name.split(",")[0]]
    size = (abs(x) @ abs(M)).max() / 0.7 + abs(layer.b.data).max() + 2 * abs(x).sum()
    assert_close(mean, ALL[name](layer)(x).data[0], scale=size)
    assert_close(covariance, expected, scale=size**2)


@pytest.mark.source("gal:standard-dropout")
def test_behind_a_kink_the_mean_of_the_units_is_not_the_mean_of_the_network():
    layer = Dense(2, 1, rng=0, dtype="float64")
    layer.W = np.array([[1.0], [-1.0]])
    model = nn.Sequential(Dropout(0.5, scaled=False), layer, nn.ReLU())
    x, kept = np.array([[1.0, 1.0]]), every(2)
    y = model(np.repeat(x, 4, 0), rng=Scripted(kept)).data[:, 0]
    assert chances(kept, 0.5) @ y == 0.25  # of the four masks, one leaves 1
    assert model(x).item() == 0  # halves of both cancel


@each
def test_without_noise_layers_are_the_identity(name):
    rng = np.random.default_rng(0)
    layer, x = dense(rng), rng.normal(size=(4, 3))
    if name.startswith(("Drop",)):
        free = {
            "Dropout": lambda: nn.Sequential(Dropout(0.0, "un" not in name), layer),
            "DropConnect": lambda: DropConnect(layer, 0.0, "un" not in name),
        }[name.split(",")[0]]()
        for rng in (None, 0):
            np.testing.assert_array_equal(free(x, rng=rng).data, layer(x).data)
    else:  # noise of size sqrt(alpha) on terms of this size
        tiny = {"GaussianDropout": nn.Sequential(GaussianDropout(1e-20), layer)}.get(name, AdditiveNoise(layer, 1e-20))
        off = abs(tiny(x, rng=0).data - layer(x).data)
        assert 0 < off.max() < 10 * 1e-10 * abs(x).sum() * max(1, abs(layer.W.data).max())


# ------------------------------------------------------------------------------------- one draw, kept for the way back


@pytest.mark.source("gal:srt-dropout", "gal:srt-mgn", "gal:srt-dropconnect", "gal:srt-additive")
@each
@seeds
def test_the_backward_pass_meets_the_noise_of_the_forward_pass(name, seed):
    rng = np.random.default_rng(seed)
    layer = dense(rng)
    model, x, t = ALL[name](layer), rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
    parameters, source = model.parameters(), Tensor(x)
    (model(source, rng=seed) * t).sum().backward()
    leaves = {"x": (source, x.copy()), **{path: (p, p.data.copy()) for path, p in parameters.items()}}
    size = 20 * (abs(x).sum() + 1) * (abs(layer.W.data).sum() + 20) * abs(t).max()
    for path, (leaf, start) in leaves.items():
        way = rng.normal(size=start.shape)

        def phi(h, leaf=leaf, start=start, way=way):
            leaf.data[...] = start + h * way
            with no_grad():
                return float((model(source.data, rng=seed).data * t).sum())

        slope, off = difference(phi, size)
        leaf.data[...] = start
        assert abs((leaf.grad * way).sum() - slope) <= off, path


@each
def test_each_data_point_has_noise_of_its_own_and_the_same_generator_gives_it_again(name):
    rng = np.random.default_rng(0)
    model, x = ALL[name](dense(rng, 30, 5)), np.repeat(rng.normal(size=(1, 30)), 4, 0)
    y = model(x, rng=3).data
    assert len(np.unique(y, axis=0)) == 4
    np.testing.assert_array_equal(model(x, rng=np.random.default_rng(3)).data, y)
    assert (model(x, rng=4).data != y).any()
    np.testing.assert_array_equal(model(x).data, model(x).data)


@pytest.mark.parametrize("make", [lambda layer: DropConnect(layer, 0.3), lambda layer: AdditiveNoise(layer, 0.3)])
def test_weights_are_drawn_a_block_of_data_points_at_a_time(make, monkeypatch):
    rng = np.random.default_rng(0)
    model, x = make(dense(rng)), rng.normal(size=(7, 3))
    whole, sizes = model(x, rng=0).data, []

    class Counting(np.random.Generator):
        def random(self, size, dtype):
            sizes.append(size)
            return super().random(size, dtype)

        def standard_normal(self, size, dtype):
            sizes.append(size)
            return super().standard_normal(size, dtype)

    monkeypatch.setattr(noise, "NUMBERS", 20)
    parts = model(x, rng=Counting(np.random.PCG64(0))).data
    assert sizes == [(3, 3, 2), (3, 3, 2), (1, 3, 2)]
    np.testing.assert_array_equal(parts, whole)


@each
def test_saved_and_copied_it_draws_the_same(name, tmp_path):
    x = np.random.default_rng(0).normal(size=(4, 3))
    model, other = (nn.Sequential(ALL[name](dense(np.random.default_rng(k)))) for k in (1, 2))
    minidl.save(tmp_path / "model.npz", model)
    assert (other(x, rng=3).data != model(x, rng=3).data).any()
    minidl.load(tmp_path / "model.npz", other)
    for copied in (other, pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copied(x, rng=3).data, model(x, rng=3).data)


@each
def test_rows_laid_out_otherwise_are_the_same_rows(name):
    x, model = np.random.default_rng(0).normal(size=(3, 8))[:, ::2].T, ALL[name](dense(np.random.default_rng(1)))
    assert not x.flags.c_contiguous
    np.testing.assert_array_equal(model(x, rng=2).data, model(x.copy("C"), rng=2).data)


def test_no_rows_are_no_error():
    assert DropConnect(Dense(3, 2), 0.5)(np.ones((0, 3), np.float32), rng=0).shape == (0, 2)


@each
@pytest.mark.parametrize("conv", [False, True])
def test_float32_stays_float32(name, conv):
    layer = Conv2d(2, 3, 3) if conv else Dense(3, 2)
    x = Tensor(np.ones((2, 2, 5, 5) if conv else (2, 3), np.float32))
    model = ALL[name](layer)
    for y in (model(x), model(x, rng=0)):
        assert y.dtype == np.float32
        y.sum().backward()
        assert all(leaf.grad.dtype == np.float32 for leaf in (x, layer.W, layer.b))


@each
@pytest.mark.parametrize("conv", [False, True])
def test_every_array_module_gives_numpys_numbers(name, conv, xp):
    found = []
    for module in (backend.load("numpy"), xp):
        with backend.use(module.__name__):
            model = ALL[name](Conv2d(2, 3, 3, rng=1) if conv else Dense(3, 2, rng=1))
            x = Tensor(module.asarray(np.random.default_rng(0).normal(size=(2, 2, 5, 5) if conv else (2, 3))))
            model(x, rng=0).sum().backward()
            found.append([backend.to_numpy(a) for a in (model(x, rng=0).data, x.grad)])
    for a, b in zip(*found, strict=True):
        assert_close(a, b, scale=20.0)


# ------------------------------------------------------------------------------------------------------- explaining it


@each
@seeds
def test_without_a_generator_the_laws_of_lrp_and_deeplift_hold(name, seed):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(ALL[name](dense(rng, 4, 5)), nn.ReLU(), ALL[name](dense(rng, 5, 2)))
    x = rng.normal(size=(3, 4))
    for rules in (epsilon(0.01), alpha_beta(2, -1)):
        assert_law(lrp(model, x, 1, rules=rules))
    assert_law(deeplift(model, x, 1, reference=rng.normal(size=(1, 4))))


@pytest.mark.parametrize("name", [name for name in ALL if "unscaled" not in name])
def test_layers_that_pass_on_the_mean_are_not_seen_by_an_explanation(name):
    rng = np.random.default_rng(0)
    layer, x = dense(rng, 4, 2), rng.normal(size=(3, 4))
    seen, plain = (lrp(m, x, 0, rules=((Dense, epsilon(0.1)),)) for m in (ALL[name](layer), nn.Sequential(layer)))
    assert_equal_scores(seen.scores, plain.scores, seen.flow + plain.flow)


@each
@seeds
def test_relevance_is_conserved_under_frozen_noise(name, seed):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(ALL[name](dense(rng, 4, 5)), nn.ReLU(), ALL[name](dense(rng, 5, 2)))
    assert_law(lrp(lambda x: model(x, rng=seed), rng.normal(size=(3, 4)), 1, rules=epsilon(0.01)))


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "make, error, sentence",
    [
        (lambda: DropConnect(Dense(2, 2), 1.0), ValueError, r"DropConnect: p, the probability .* \[0, 1\), got 1.0"),
        (lambda: DropConnect(Dense(2, 2), -0.1), ValueError, r"DropConnect: p, .* got -0.1"),
        (lambda: Dropout(float("nan")), ValueError, r"Dropout: p, .* got nan"),
        (lambda: DropConnect(nn.ReLU(), 0.1), TypeError, "DropConnect: layer must be Dense or Conv2d, got ReLU"),
        (lambda: AdditiveNoise(nn.Conv1d(2, 2, 2), 0.1), TypeError, "AdditiveNoise: layer must be .* got Conv1d"),
        (lambda: AdditiveNoise(Dense(2, 2), 0), ValueError, "AdditiveNoise: alpha, the variance .* above 0, got 0"),
        (lambda: GaussianDropout(-1.0), ValueError, "GaussianDropout: alpha, the variance .* above 0, got -1.0"),
        (lambda: GaussianDropout(float("inf")), ValueError, "GaussianDropout: alpha, .* finite .* got inf"),
        (lambda: GaussianDropout("big"), ValueError, "GaussianDropout: alpha, .* got 'big'"),
    ],
)
def test_what_the_layers_refuse(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.parametrize("rng", [None, 0])
def test_input_that_does_not_fit_the_wrapped_layer(rng):
    dropped = nn.Sequential(DropConnect(Dense(3, 2), 0.5))
    with pytest.raises(ValueError, match=r"^0.* expects \(..., 3\), got \(2, 4\)"):
        dropped(np.ones((2, 4)), rng=rng)
    with pytest.raises(ValueError, match=r"expects \(N, 2, H, W\), got \(2, 1, 5, 5\)"):
        DropConnect(Conv2d(2, 3, 3), 0.5)(np.ones((2, 1, 5, 5)), rng=rng)
    with pytest.raises(ValueError, match=r"a window of \(3, 3\), which does not fit"):
        DropConnect(Conv2d(2, 3, 3), 0.5)(np.ones((2, 2, 2, 2)), rng=rng)
    with pytest.raises(TypeError, match="GaussianDropout expects floating-point data, got int64"):
        GaussianDropout(0.5)(np.ones((2, 2), int), rng=rng)
