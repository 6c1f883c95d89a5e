"""Laws of the gradient: operations against finite differences to order 2, subgradients, fused operations, types."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import MAKERS, cases
from support.gradcheck import check_gradients, gradient_function
from support.tolerance import assert_close

from minidl import Tensor, grad, ops
from minidl.ops import fast
from minidl.ops.convolution import Convolution, padding_of
from minidl.ops.kernels import pair, same_padding
from minidl.ops.pooling import MaxPool, SumPool
from minidl.ops.reduce import LogSumExp, Softmax, SoftmaxCrossEntropy
from minidl.tape import raw, record

every_operation = pytest.mark.parametrize("name", sorted(MAKERS))


def test_every_operation_has_a_case():
    assert set(MAKERS) == set(ops.__all__)


@pytest.mark.source("lrp:eq53")
@every_operation
@given(data=st.data())
def test_gradient_is_the_finite_difference_to_order_2(name, data):
    case = data.draw(cases(name))
    before = [np.array(a) for a in case.arrays]
    check_gradients(case, *case.arrays)
    for a, b in zip(case.arrays, before, strict=True):
        np.testing.assert_array_equal(a, b)


@every_operation
@given(data=st.data())
def test_an_operation_on_arrays_gives_the_array_that_it_gives_on_tensors(name, data):
    case = data.draw(cases(name))
    y, expected = case(*case.arrays), case(*map(Tensor, case.arrays))
    assert not isinstance(y, Tensor)
    assert_close(y, expected.data, ulps=2)  # a tensor divides by multiplying with the reciprocal


def gradient_at(f, *numbers):
    inputs = [Tensor(np.array(n, dtype=float)) for n in numbers]
    found = grad(f(*inputs).sum(), inputs)
    return [np.asarray(g).tolist() for g in found]


def test_the_stated_subgradients_at_kinks():
    assert gradient_at(ops.relu, [0.0, -0.0]) == [[0, 0]]
    assert gradient_at(ops.absolute, [0.0, -0.0]) == [[0, 0]]
    assert gradient_at(lambda x: ops.elu(x, 0.5), [0.0]) == [[0.5]]
    assert gradient_at(ops.prelu, [0.0, 0.0], [0.25, 3.0]) == [[0.25, 3.0], [0, 0]]


def test_ties_share_the_gradient():
    assert gradient_at(ops.maximum, [1.0, 2.0], [1.0, 3.0]) == [[0.5, 0], [0.5, 1]]
    assert gradient_at(ops.minimum, [1.0, 2.0], [1.0, 3.0]) == [[0.5, 1], [0.5, 0]]
    assert gradient_at(ops.amax, [2.0, 1.0, 2.0, 2.0, 2.0]) == [[0.25, 0, 0.25, 0.25, 0.25]]
    assert gradient_at(lambda x: ops.amax(x, 0), [[2.0, 1.0], [2.0, 3.0]]) == [[[0.5, 0], [0.5, 1]]]
    image = [[[[3.0, 3.0, 0.0], [1.0, 3.0, 0.0]]]]
    assert gradient_at(lambda x: ops.max_pool2d(x, 2), image) == [[[[[1 / 3, 1 / 3, 0], [0, 1 / 3, 0]]]]]
    overlapping = [[[[1 / 3, 1 / 3 + 1 / 2, 0], [0, 1 / 3 + 1 / 2, 0]]]]
    assert_close(gradient_at(lambda x: ops.max_pool2d(x, 2, 1), image)[0], overlapping)


@given(seed=st.integers(0, 10**6), coarse=st.booleans())
def test_a_maximum_sends_out_exactly_what_it_gets_however_many_tie(seed, coarse):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (2, 3, 4, 4)) * 1.0 if coarse else rng.normal(size=(2, 3, 4, 4))
    for f in (lambda x: ops.amax(x, 1), lambda x: ops.max_pool2d(x, 2), lambda x: ops.maximum(x, x[:, :, ::-1])):
        source = Tensor(x)
        y = f(source)
        w = rng.normal(size=y.shape)
        assert_close(grad(y, source, upstream=w).sum(), w.sum(), scale=abs(w).sum())


@st.composite
def fused(draw):
    """An operation that has a composed twin, with its arrays; ties included."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = draw(st.booleans())

    def array(*shape):
        return rng.integers(-2, 3, shape) * 0.5 if coarse else rng.normal(size=shape)

    kernel = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    stride = draw(st.sampled_from([kernel, (1, 1), (1, 2), (3, 2)]))
    channels = draw(st.sampled_from([2, 20]))  # many channels are gathered in another way than few
    image = array(draw(st.integers(1, 3)), channels, draw(st.integers(3, 6)), 5)
    padding = draw(st.sampled_from([0, 1, (0, 2), "same"]))
    convolution = Convolution(stride, padding_of(padding))
    W, b = array(3, channels, *kernel), array(3)
    return draw(
        st.sampled_from(
            [
                (convolution, (image, W)),
                (convolution, (image, W, b)),
                (MaxPool(kernel, stride), (image,)),
                (SumPool(kernel, stride), (image,)),
                (LogSumExp(2), (image,)),
                (Softmax(1), (image,)),
                (SoftmaxCrossEntropy(rng.integers(0, 3, 4)), (array(4, 3),)),
            ]
        )
    )


@pytest.mark.source("gal:conv-as-matmul")
@given(pair=fused(), seed=st.integers(0, 1000))
def test_a_fused_operation_is_its_twin_in_value_and_in_three_derivatives(pair, seed):
    op, arrays = pair
    rng = np.random.default_rng(seed)

    def one(*xs):
        return record(op, *xs)

    y, twin = one(*arrays), op.simple(*arrays)
    assert_close(y, twin, scale=1 + abs(twin).max())
    arguments, weights = list(arrays), [[rng.normal(size=a.shape) for a in arrays]]
    w = rng.normal(size=y.shape)
    functions = [one, op.simple]
    for _ in range(3):
        arguments.append(w)
        inputs = [Tensor(a) for a in arguments]
        results = [grad(f(*inputs[:-1]), inputs[:-1], upstream=w) for f in functions]
        for ours, theirs in zip(*results, strict=True):
            assert_close(ours, theirs, scale=1 + abs(theirs).max(initial=0))
        functions = [gradient_function(f, weights[-1]) for f in functions]
        weights.append([rng.normal(size=a.shape) for a in arguments])
        w = np.array(rng.normal())


def naive_convolution(x, W, b, stride, padding):
    """The definition, seven loops."""
    (n, c, h, w), (o, _, kh, kw), (sh, sw) = x.shape, W.shape, stride
    if padding == "same":
        (top, bottom), (left, right) = same_padding(h, kh, sh), same_padding(w, kw, sw)
    else:
        (top, bottom), (left, right) = padding_of(padding)
    height, width = (h + top + bottom - kh) // sh + 1, (w + left + right - kw) // sw + 1
    y = np.zeros((n, o, height, width))
    for a in range(n):
        for p in range(o):
            for u in range(height):
                for v in range(width):
                    y[a, p, u, v] = b[p]
                    for q in range(c):
                        for i in range(kh):
                            for j in range(kw):
                                row, col = u * sh + i - top, v * sw + j - left
                                if 0 <= row < h and 0 <= col < w:
                                    y[a, p, u, v] += x[a, q, row, col] * W[p, q, i, j]
    return y


@pytest.mark.source("gal:conv-as-matmul")
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.sampled_from([1, 2, (1, 3), (3, 2)]),
    padding=st.sampled_from([0, 1, (2, 0), "same"]),
    channels=st.sampled_from([1, 2, 20]),
)
def test_convolution_is_its_definition(seed, size, kernel, stride, padding, channels):
    rng = np.random.default_rng(seed)
    x, W, b = rng.normal(size=(1, channels, *size)), rng.normal(size=(2, channels, *kernel)), rng.normal(size=2)
    expected = naive_convolution(x, W, b, pair(stride, "stride"), padding)
    assert_close(ops.conv2d(x, W, b, stride, padding), expected, scale=np.abs(expected).max() + 1)


@pytest.mark.parametrize("channels", [2, 20])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_in_blocks_is_convolution_at_once(monkeypatch, channels, stride):
    rng = np.random.default_rng(0)
    inputs = [Tensor(rng.normal(size=s)) for s in ((5, channels, 6, 6), (3, channels, 3, 3), (3,))]

    def results():
        y = ops.conv2d(*inputs, stride, "same")
        return [y.data, *grad(y.sum(), inputs)]

    at_once = results()
    monkeypatch.setattr(fast, "CACHE", 1)  # one image a block
    for ours, theirs in zip(results(), at_once, strict=True):
        assert_close(ours, theirs, scale=1 + abs(theirs).max())


@given(n=st.integers(1, 12), k=st.integers(1, 5), s=st.integers(1, 4))
def test_same_padding_gives_ceil_n_over_s_outputs_with_the_odd_pixel_at_the_end(n, k, s):
    before, after = same_padding(n, k, s)
    assert 0 <= after - before <= 1
    y = ops.conv2d(np.ones((1, 1, n, 1)), np.ones((1, 1, k, 1)), None, (s, 1), "same")
    assert y.shape == (1, 1, -(-n // s), 1)


@given(data=st.data(), seed=st.integers(0, 10**6))
def test_col2im_is_the_adjoint_of_im2col(data, seed):
    rng = np.random.default_rng(seed)
    kernel, stride = (data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    x = rng.normal(size=(2, 2, data.draw(st.integers(3, 6)), 4))
    Ax = ops.im2col(x, kernel, stride)
    y = rng.normal(size=Ax.shape)
    Aty = ops.col2im(y, kernel, stride, x.shape)
    assert_close((Ax * y).sum(), (x * Aty).sum(), scale=abs(Ax * y).sum())


@given(seed=st.integers(0, 10**6), k=st.integers(1, 4), shared=st.booleans(), time=st.booleans(), bias=st.booleans())
def test_affine_with_leading_axes_is_a_loop_over_them(seed, k, shared, time, bias):
    rng = np.random.default_rng(seed)
    n, n_in, n_out = 4, 3, k  # K = the number of outputs: a bias (K, out) that broadcasts wrongly still has a shape
    rows = (n, 2) if time else (n,)
    x = rng.normal(size=(1 if shared else k, *rows, n_in))
    W, b = rng.normal(size=(k, n_in, n_out)), rng.normal(size=(k, n_out))
    parameters = (W, b) if bias else (W,)
    inputs = [Tensor(a) for a in (x, *parameters)]
    y = ops.affine(*inputs)
    w = rng.normal(size=y.shape)
    together = grad(y, inputs, upstream=w)
    total_x = np.zeros_like(x)
    for i in range(k):
        at = 0 if shared else i
        one = [Tensor(a) for a in (x[at], *(p[i] for p in parameters))]
        yi = ops.affine(*one)
        assert_close(y.data[i], yi.data)
        gx, *rest = grad(yi, one, upstream=w[i])
        total_x[at] += gx
        for ours, theirs in zip(together[1:], rest, strict=True):
            assert_close(ours[i], theirs)
    assert_close(together[0], total_x, scale=1 + abs(total_x).max())


def test_a_check_with_a_wrong_gradient_fails():
    class Wrong(type(ops.sin(Tensor([1.0])).op)):
        def gradient(self, g, y, x):
            return (g * ops.cos(x) * (1 + 1e-7),)

    with pytest.raises(AssertionError, match="difference"):
        check_gradients(lambda x: record(Wrong(), x), np.array([0.3, 1.2]), order=1)


def test_a_check_with_a_wrong_second_derivative_fails():
    class Wrong(type(ops.sin(Tensor([1.0])).op)):
        def gradient(self, g, y, x):
            return (g * np.cos(raw(x)),)  # right, and a constant for the second derivative

    check_gradients(lambda x: record(Wrong(), x), np.array([0.3, 1.2]), order=1)
    with pytest.raises(AssertionError, match="difference"):
        check_gradients(lambda x: record(Wrong(), x), np.array([0.3, 1.2]), order=2)
