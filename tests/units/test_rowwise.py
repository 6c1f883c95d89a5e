"""Work in blocks of rows: the same numbers as in one piece, whatever comes in and goes out."""

import numpy as np
import pytest

from minidl import blas
from minidl.ops import fast
from minidl.ops.rowwise import by_rows
from minidl.ops.signals import Delta, Pair, choose

SHAPE = (50, 3, 40, 40)  # several blocks


@pytest.fixture(params=["1", "2"], autouse=True)
def count(request, monkeypatch):
    monkeypatch.setenv("MINIDL_THREADS", request.param)
    monkeypatch.setattr(fast, "BLOCK", 1 << 14)


def numbers(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_an_array_a_pair_and_a_delta_are_cut_alike_and_one_row_stands_for_all():
    a, m, d = numbers(0), Pair(numbers(1), numbers(2)), Delta(numbers(3), numbers(4, (1, *SHAPE[1:])))

    def f(a, m, d):
        return a * d.diff, m * a, Pair(m.pos, m.pos), a.sum((1, 2, 3))

    whole, parted = f(a, m, d), by_rows(f, a, m, d)
    for one, other in zip(whole, parted, strict=True):
        if isinstance(one, Pair):
            assert other.one == one.one
            np.testing.assert_array_equal(other.pos, one.pos)
            np.testing.assert_array_equal(other.neg, one.neg)
        else:
            np.testing.assert_array_equal(other, one)


def test_the_results_keep_the_order_of_memory():
    a = np.ascontiguousarray(numbers().transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    assert by_rows(lambda a: a + 1, a).strides == a.strides


@pytest.mark.parametrize("row", [0, 20, 49])
def test_what_only_some_blocks_have_is_zero_elsewhere(row):
    a = numbers()
    a[row] = 0

    def zeros(a):
        return a * 2, (a == 0) * 1.0 if (a == 0).any() else None

    twice, found = by_rows(zeros, a)
    np.testing.assert_array_equal(twice, 2 * a)
    np.testing.assert_array_equal(found, (a == 0) * 1.0)
    assert by_rows(zeros, abs(a) + 1)[1] is None


def test_small_arrays_are_not_cut():
    seen = []
    by_rows(lambda a: seen.append(len(a)), numbers(shape=(50, 3)))
    assert seen == [50]


def test_choose_is_a_select_also_where_numbers_are_infinite():
    mask, a, b = np.array([True, False, True, False]), np.array([1.0, np.inf, 2, 3]), np.array([np.inf, 4, 5, 6])
    np.testing.assert_array_equal(choose(mask, a, b), [1, 4, 2, 6])
    np.testing.assert_array_equal(choose(mask, b[1:2], a[2:3]), [4, 2, 4, 2])


@pytest.mark.parametrize("small", [True, False])
def test_few_rows_give_the_product_with_and_without_small_kernels(small, monkeypatch):
    monkeypatch.setattr(blas, "has_small_kernels", lambda: small)
    a, b = numbers(0, (10, 784)).astype(float), numbers(1, (784, 200)).astype(float)
    np.testing.assert_allclose(fast.product(a, b), np.einsum("ij,jk", a, b), rtol=1e-10)
