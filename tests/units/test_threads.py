"""Two threads change nothing but the time."""

import os
import threading

import numpy as np
import pytest

from minidl import threads
from minidl.ops import fast


@pytest.fixture(params=["1", "2"])
def count(request, monkeypatch):
    monkeypatch.setenv("MINIDL_THREADS", request.param)
    return int(request.param)


def test_results_come_in_the_order_of_the_parts(count):
    assert threads.run(lambda k: k * k, [3, 1, 2]) == [9, 1, 4]


def test_work_inside_work_is_done_where_it_is_asked_for(count):
    def outer(k):
        return threads.run(lambda j: (k, j, threading.get_ident()), [0, 1])

    for k, inner in enumerate(threads.run(outer, [0, 1])):
        assert [(i, j) for i, j, _ in inner] == [(k, 0), (k, 1)]
        assert len({ident for *_, ident in inner}) == 1  # a pool that waits for itself would hang here


def test_an_error_in_a_part_is_raised_after_all_parts_ended(count):
    ended = []

    def work(k):
        if k == 0:
            raise ValueError("part 0")
        ended.append(k)

    with pytest.raises(ValueError, match="part 0"):
        threads.run(work, [0, 1, 2])
    assert ended == [1, 2] or count == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_makes_its_own_threads(monkeypatch):
    monkeypatch.setenv("MINIDL_THREADS", "2")
    threads.run(lambda k: k, [0, 1])
    child = os.fork()
    if child == 0:
        os._exit(0 if threads.run(lambda k: k + 1, [0, 1]) == [1, 2] else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_convolution_pooling_and_products_have_the_same_bits_on_one_and_two_threads(monkeypatch):
    rng = np.random.default_rng(0)
    x, W = rng.random((40, 16, 20, 20), dtype=np.float32), rng.random((24, 16, 3, 3), dtype=np.float32)
    g = rng.random((40, 24, 20, 20), dtype=np.float32)
    images = rng.random((30, 24, 40, 40), dtype=np.float32)
    assert len(fast.rows(np, images)) == 2
    widths, stride = ((1, 1), (1, 1)), (1, 1)
    a, b = rng.random((300, 400), dtype=np.float32), rng.random((400, 500), dtype=np.float32)

    def everything():
        pooled = fast.max_pool(images, (2, 2), (2, 2), (20, 20))
        return [
            fast.convolve(x, W, None, stride, widths),
            fast.convolve_weights(g, x, W.shape, stride, widths),
            fast.convolve_back(g, W, stride, widths, x.shape),
            pooled,
            fast.max_pool_back(pooled, pooled, images, (2, 2), (2, 2)),
            fast.product(a, b),
        ]

    monkeypatch.setenv("MINIDL_THREADS", "1")
    one = everything()
    monkeypatch.setenv("MINIDL_THREADS", "2")
    for alone, together in zip(one, everything(), strict=True):
        np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize("rows", [1, 2, 7, 10, 16, 17])
@pytest.mark.parametrize("shape", [(784, 200), (200, 200), (256, 1024), (64, 10)])
def test_the_fast_product_is_the_product(rows, shape):
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(rows, shape[0])), rng.normal(size=shape), rng.normal(size=shape[::-1])
    for right in (b, c.T):
        scale = np.abs(a) @ np.abs(right)  # what a sum's rounding is relative to
        assert (np.abs(fast.product(a, right) - np.einsum("ij,jk", a, right)) <= 1e-15 * shape[0] * scale).all()
