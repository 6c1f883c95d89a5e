import numpy as np
import pytest

from minidl import Tensor, nn, no_grad
from minidl.nn.initialise import INITIALISERS

F = np.float32
LAYERS = {
    "Dense": (lambda dtype: nn.Dense(4, 3, dtype=dtype), (2, 4)),
    "Conv2d": (lambda dtype: nn.Conv2d(2, 3, 3, 2, "same", dtype=dtype), (2, 2, 5, 5)),
    "Conv1d": (lambda dtype: nn.Conv1d(2, 3, 3, 2, 1, dtype=dtype), (2, 2, 5)),
    "BatchNorm1d": (lambda dtype: nn.BatchNorm1d(3, dtype=dtype), (4, 3, 2)),
    "BatchNorm1d, eval": (lambda dtype: nn.BatchNorm1d(3, dtype=dtype).eval(), (4, 3)),
    "BatchNorm2d": (lambda dtype: nn.BatchNorm2d(3, dtype=dtype), (4, 3, 2, 2)),
    "PReLU": (lambda dtype: nn.PReLU(3, dtype=dtype), (2, 3, 4)),
    "ReLU": (lambda dtype: nn.ReLU(), (2, 3)),
    "Tanh": (lambda dtype: nn.Tanh(), (2, 3)),
    "Sigmoid": (lambda dtype: nn.Sigmoid(), (2, 3)),
    "ELU": (lambda dtype: nn.ELU(0.5), (2, 3)),
    "Softmax": (lambda dtype: nn.Softmax(), (2, 3)),
    "Flatten": (lambda dtype: nn.Flatten(), (2, 3, 2)),
    "MaxPool2d": (lambda dtype: nn.MaxPool2d(2), (2, 3, 4, 4)),
    "AvgPool2d": (lambda dtype: nn.AvgPool2d(2, 1), (2, 3, 4, 4)),
    "SumPool2d": (lambda dtype: nn.SumPool2d((1, 2)), (2, 3, 4, 4)),
    "GlobalAvgPool": (lambda dtype: nn.GlobalAvgPool(), (2, 3, 4, 4)),
    "Dropout": (lambda dtype: nn.Dropout(0.3), (2, 3)),
    "Dropout, unscaled": (lambda dtype: nn.Dropout(0.3, scaled=False), (2, 3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("noise", [None, 0])
@pytest.mark.parametrize("name", LAYERS)
def test_the_type_of_the_input_is_kept_by_value_and_gradients(name, noise, dtype):
    make, shape = LAYERS[name]
    layer, x = make(dtype), Tensor(np.random.default_rng(0).normal(size=shape).astype(dtype))
    y = layer(x, rng=noise)
    (y * y).sum().backward()
    leaves = [x, *layer.parameters().values()]
    assert y.dtype == dtype and all(leaf.grad.dtype == dtype for leaf in leaves)
    assert all(a.dtype == dtype for a in layer.state_dict().values())


def test_dense_is_x_times_W_plus_b_on_the_last_axis():
    layer, x = nn.Dense(4, 3, rng=1), np.random.default_rng(0).random((2, 5, 4), F)
    layer.b = np.arange(3)
    assert np.allclose(layer(x).data, np.einsum("ntc,ch->nth", x, layer.W.data) + np.arange(3), atol=1e-6)
    assert nn.Dense(4, 3, bias=False, rng=1).b is None
    assert np.allclose(nn.Dense(4, 3, bias=False, rng=1)(x).data, x @ layer.W.data, atol=1e-6)


def test_leading_axes_of_weights_are_a_stack_of_layers():
    one, many = nn.Dense(4, 3, rng=1), nn.Dense(4, 3, rng=1)
    rng = np.random.default_rng(0)
    W, b, x = rng.random((5, 4, 3), F), rng.random((5, 3), F), rng.random((2, 4), F)
    many.W, many.b = Tensor(W), Tensor(b)
    y = many(x[None]).data
    assert y.shape == (5, 2, 3)
    for k in range(5):
        one.W, one.b = W[k], b[k]
        assert np.allclose(y[k], one(x).data, atol=1e-6)


@pytest.mark.parametrize("stride, padding", [(1, 0), (2, 1), (2, "same"), (3, "same")])
def test_conv1d_slides_along_time(stride, padding):
    rng = np.random.default_rng(0)
    layer = nn.Conv1d(2, 3, 4, stride, padding, dtype="float64", rng=1)
    layer.b = rng.normal(size=3)
    x, t = rng.normal(size=(2, 2, 9)), 9
    if padding == "same":
        total = (-(-t // stride) - 1) * stride + 4 - t
        before, after = total // 2, total - total // 2
    else:
        before = after = padding
    padded = np.pad(x, ((0, 0), (0, 0), (before, after)))
    starts = range(0, padded.shape[2] - 3, stride)
    expected = np.stack([np.tensordot(padded[:, :, s : s + 4], layer.W.data, ([1, 2], [1, 2])) for s in starts], 2)
    assert np.allclose(layer(x).data, expected + layer.b.data[:, None], atol=1e-12)


def test_conv2d_padding_same_keeps_the_size_and_strides_divide_it():
    x = np.ones((1, 1, 7, 6), F)
    assert nn.Conv2d(1, 2, 5, padding="same")(x).shape == (1, 2, 7, 6)
    assert nn.Conv2d(1, 2, (4, 3), (2, 3), "same")(x).shape == (1, 2, 4, 2)
    assert nn.Conv2d(1, 2, 3, padding=(0, 1), bias=False)(x).shape == (1, 2, 5, 6)


def test_embedding_looks_up_rows_and_adds_gradients_of_repeated_ids():
    layer = nn.Embedding(5, 3, rng=0)
    ids = np.array([[1, 4, 1]])
    y = layer(ids)
    assert (y.data == layer.W.data[ids]).all()
    y.sum().backward()
    assert (layer.W.grad == np.array([0, 2, 0, 0, 1])[:, None]).all()


def test_activations_and_pools_are_their_formulas():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    e = np.exp(x)
    windows = x.reshape(2, 3, 2, 2, 2, 2)
    prelu = nn.PReLU(3, dtype="float64")
    prelu.W = [0.1, 0.2, 0.3]
    slope = np.array([0.1, 0.2, 0.3]).reshape(3, 1, 1)
    for layer, expected in [
        (nn.ReLU(), x * (x > 0)),
        (nn.Tanh(), (e - 1 / e) / (e + 1 / e)),
        (nn.Sigmoid(), e / (1 + e)),
        (nn.ELU(0.7), np.where(x > 0, x, 0.7 * (e - 1))),
        (prelu, np.where(x > 0, x, slope * x)),
        (nn.Softmax(), e / e.sum(-1, keepdims=True)),
        (nn.MaxPool2d(2), windows.max((3, 5))),
        (nn.SumPool2d(2), windows.sum((3, 5))),
        (nn.AvgPool2d(2), windows.mean((3, 5))),
        (nn.GlobalAvgPool(), x.mean((2, 3))),
        (nn.Flatten(), x.reshape(2, -1)),
    ]:
        assert np.allclose(layer(x).data, expected, atol=1e-12), layer
    assert np.allclose(nn.PReLU(1, dtype="float64")(x).data, np.where(x > 0, x, 0.25 * x))


def test_dropout_drops_with_probability_p_and_passes_on_its_mean():
    x = np.full((400, 500), 2.0)
    n, p = x.size, 0.3
    for scaled, kept in ((True, 2 / (1 - p)), (False, 2.0)):
        layer = nn.Dropout(p, scaled)
        y = layer(x, rng=0).data
        assert set(np.unique(y)) == {0.0, kept}
        assert abs((y == 0).mean() - p) < 4 * np.sqrt(p * (1 - p) / n)
        mean = layer(x).data
        assert np.allclose(mean, 2.0 if scaled else 2 * (1 - p))
        assert abs(y.mean() - mean.mean()) < 4 * kept * np.sqrt(p * (1 - p) / n)


def test_sequential_is_indexed_by_place_name_and_slice():
    model = nn.Sequential(first=nn.Dense(4, 3), act=nn.ReLU(), last=nn.Dense(3, 2))
    assert model[0] is model.first is model["first"] and model[-1] is model.last and len(model) == 3
    assert list(model[1:].children()) == ["act", "last"] and list(model) == [model.first, model.act, model.last]
    assert list(nn.Sequential(*model)[1:].parameters()) == ["1.W", "1.b"]
    model.act = nn.Tanh()
    x = np.ones((1, 4), F)
    assert (model(x).data == model.last(nn.Tanh()(model.first(x))).data).all()


@pytest.mark.parametrize("init", INITIALISERS)
def test_first_values_have_the_variance_of_their_name(init):
    n_in, n_out = 300, 200
    expected = 2 / (n_in + n_out) if "glorot" in init else 2 / n_in
    W = nn.Dense(n_in, n_out, init=init, rng=0).W.data
    assert W.dtype == F and abs(W.var() / expected - 1) < 0.05 and abs(W.mean()) < 4 * np.sqrt(expected / W.size)
    assert (abs(W).max() <= np.sqrt(3 * expected) * (1 + 1e-6)) == ("uniform" in init)
    kernels = nn.Conv2d(20, 30, 5, init=init, rng=0).W.data
    expected = 2 / (50 * 25) if "glorot" in init else 2 / (20 * 25)
    assert abs(kernels.var() / expected - 1) < 0.05


def test_an_int_repeats_its_numbers_and_a_generator_moves_on():
    assert (nn.Dense(3, 3, rng=5).W.data == nn.Dense(3, 3, rng=5).W.data).all()
    rng = np.random.default_rng(5)
    a, b = nn.Dense(3, 3, rng=rng, dtype="float64"), nn.Dense(3, 3, rng=rng, dtype="float64")
    assert (a.W.data.astype(F) == nn.Dense(3, 3, rng=5).W.data).all() and not (a.W.data == b.W.data).any()
    assert (a.b.data == 0).all()


@pytest.mark.parametrize(
    "layer, x, error, sentence",
    [
        (nn.Conv2d(1, 2, 3), np.ones((28, 28), F), ValueError,
         "f.0 Conv2d expects (N, C, H, W), got (28, 28); a single image needs x[None, None]"),
        (nn.Conv2d(3, 2, 3), np.ones((3, 28, 28), F), ValueError, "got (3, 28, 28); a single image needs x[None]"),
        (nn.Conv2d(1, 2, 3), np.ones((3, 28, 28), F), ValueError, "images of one channel need x[:, None]"),
        (nn.Conv2d(3, 2, 3), np.ones((5, 8, 8, 3), F), ValueError,
         "f.0 Conv2d expects (N, 3, H, W), got (5, 8, 8, 3); channels stand second: x.transpose(0, 3, 1, 2)"),
        (nn.Conv2d(1, 2, 3), np.ones((1, 1, 8, 8), np.uint8), TypeError,
         "f.0 Conv2d expects floating-point images, got uint8; scale them: x.astype('float32') / 255"),
        (nn.Conv2d(1, 2, 5, padding=1), np.ones((1, 1, 2, 8), F), ValueError,
         "f.0 Conv2d has a window of (5, 5), which does not fit an input of (4, 10)"),
        (nn.MaxPool2d(3), np.ones((1, 1, 2, 8), F), ValueError, "f.0 MaxPool2d has a window of (3, 3)"),
        (nn.Conv1d(2, 2, 3), np.ones((2, 9), F), ValueError,
         "f.0 Conv1d expects (N, C, T), got (2, 9); a single sequence needs x[None]"),
        (nn.Conv1d(2, 2, 3), np.ones((5, 9, 2), F), ValueError, "channels stand second: x.transpose(0, 2, 1)"),
        (nn.Dense(4, 2), np.ones(4, F), ValueError, "f.0 Dense expects (N, 4), got (4,); a single row needs x[None]"),
        (nn.Dense(4, 2), np.ones((2, 5), F), ValueError, "f.0 Dense expects (..., 4), got (2, 5)"),
        (nn.Dense(4, 2), np.ones((3, 1, 2, 2), F), ValueError, "put Flatten() before it"),
        (nn.Dense(4, 2), np.ones((2, 4), int), TypeError, "f.0 Dense expects floating-point data, got int64"),
        (nn.ReLU(), np.ones((2, 4), int), TypeError, "f.0 ReLU expects floating-point data"),
        (nn.BatchNorm1d(4), np.ones((2, 3), F), ValueError, "f.0 BatchNorm1d expects (N, 4) or (N, 4, T), got (2, 3)"),
        (nn.BatchNorm2d(4), np.ones((2, 4), F), ValueError, "f.0 BatchNorm2d expects (N, 4, H, W), got (2, 4)"),
        (nn.BatchNorm1d(4), np.ones((1, 4), F), ValueError, "needs more than one value a channel"),
        (nn.PReLU(4), np.ones((2, 3), F), ValueError, "f.0 PReLU expects (N, 4, ...), got (2, 3)"),
        (nn.GlobalAvgPool(), np.ones((2, 3), F), ValueError, "f.0 GlobalAvgPool expects (N, C, ...)"),
        (nn.Flatten(), np.ones(3, F), ValueError, "f.0 Flatten expects (N, ...), got (3,)"),
        (nn.Embedding(4, 2), np.ones((2, 3), F), TypeError, "f.0 Embedding expects integer ids, got float32"),
        (nn.Embedding(4, 2), np.array([[-1, 3]]), ValueError, "f.0 Embedding expects ids in 0..3, got -1..3"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_the_path_and_the_remedy(layer, x, error, sentence):
    with pytest.raises(error) as found:
        nn.Sequential(f=nn.Sequential(layer))(x)
    assert sentence in str(found.value)


@pytest.mark.parametrize(
    "make, error, sentence",
    [
        (lambda: nn.Dense(0, 3), ValueError, "Dense: n_in must be a positive int, got 0"),
        (lambda: nn.Dense(3, 2.0), ValueError, "Dense: n_out must be a positive int, got 2.0"),
        (lambda: nn.Conv2d(1, 2, 0), ValueError, "Conv2d: kernel must be a positive int"),
        (lambda: nn.Conv2d(1, 2, 3, padding=-1), ValueError, 'padding must be an int >= 0, two of them, or "same"'),
        (lambda: nn.Conv1d(1, 2, 3, padding="valid"), ValueError, 'Conv1d: padding must be an int >= 0 or "same"'),
        (lambda: nn.MaxPool2d(2, 0), ValueError, "MaxPool2d: stride must be a positive int"),
        (lambda: nn.Embedding(5, -1), ValueError, "Embedding: dim must be a positive int, got -1"),
        (lambda: nn.Dropout(1.0), ValueError, "p, the probability of dropping, must lie in [0, 1), got 1.0"),
        (lambda: nn.Dropout(-0.1), ValueError, "must lie in [0, 1), got -0.1"),
        (lambda: nn.BatchNorm1d(3, momentum=2), ValueError, "momentum must lie in [0, 1], got 2"),
        (lambda: nn.BatchNorm1d(3, eps=0), ValueError, "eps must be above 0, got 0"),
        (lambda: nn.ELU(-1), ValueError, "ELU: alpha must be a finite number >= 0, got -1"),
        (lambda: nn.Dense(3, 2, init="xavier"), ValueError, "Dense: init must be one of glorot_uniform,"),
        (lambda: nn.Dense(3, 2, rng=None), TypeError, "Dense: rng must be a numpy.random.Generator or an int >= 0"),
        (lambda: nn.Dense(3, 2, dtype=int), TypeError, "Dense: dtype must be floating point, got int64"),
        (lambda: nn.Sequential(nn.ReLU(), np.tanh), TypeError, "Sequential: layer 1 must be a Module, got ufunc"),
        (lambda: nn.Sequential(train=nn.ReLU()), ValueError, "a layer cannot be named 'train'"),
        (lambda: nn.Sequential(nn.ReLU(), a=nn.ReLU()), TypeError, "either by position or by name, got both"),
    ],
)
def test_bad_sizes_are_refused_when_a_layer_is_made(make, error, sentence):
    with pytest.raises(error) as found:
        make()
    assert sentence in str(found.value)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", [{}, {"stride": 2}, {"padding": "same"}, {"padding": (2, 1), "bias": False}])
@pytest.mark.parametrize("size", [2, 3, (1, 2)])
def test_without_a_tape_convolution_relu_and_pooling_give_the_same_bits_in_one_go(dtype, settings, size):
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, rng=0, dtype=dtype, **settings), nn.ReLU(), nn.MaxPool2d(size), nn.Tanh()
    )  # fmt: skip
    if model[0].b is not None:
        model[0].b = rng.normal(size=16)
    x = rng.normal(size=(40, 3, 17, 14)).astype(dtype)
    with_tape = model(x).data
    with no_grad():
        np.testing.assert_array_equal(model(x).data, with_tape)
        np.testing.assert_array_equal(model(x[:0]).data, with_tape[:0])
        with pytest.raises(ValueError, match=r"0 Conv2d expects \(N, 3, H, W\), got"):
            model(x[:, :2])


def test_what_is_taken_in_one_go_is_only_what_is_meant(monkeypatch):
    monkeypatch.setattr("minidl.nn.sequential.convolve", lambda *_: pytest.fail("the layers have their own way"))
    x = np.random.default_rng(0).random((2, 1, 8, 8), np.float32)

    class Odd(nn.ReLU):
        pass

    first = nn.Conv2d(1, 2, 3, rng=0)
    with no_grad():
        for rest in ((Odd(), nn.MaxPool2d(2)), (nn.ReLU(), nn.MaxPool2d(3, 2)), (nn.ReLU(), nn.AvgPool2d(2))):
            nn.Sequential(first, *rest)(x)
        nn.Sequential(first, nn.ReLU())(x)
        with pytest.raises(ValueError, match=r"2 MaxPool2d has a window of \(7, 7\), which does not fit"):
            nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(7))(x)
        nn.Sequential(first, nn.ReLU(), nn.MaxPool2d(2)).summary(x)
