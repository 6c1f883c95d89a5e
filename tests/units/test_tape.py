"""The tape: what is recorded, and how the walk visits it."""

import gc
import weakref

import numpy as np
import pytest
from support.operations import Twice
from support.tolerance import assert_close

import minidl
from minidl import Tensor, grad, no_grad, ops
from minidl.ops.elementwise import Relu
from minidl.tape import Op, Tape, raw, record, replay, topological, touch, unbroadcast


def gradient_on_arrays(node, g):
    return node.op.gradient(g, node.data, *[raw(i) for i in node.inputs])


# What is recorded


def test_arrays_give_arrays_and_any_tensor_gives_a_tensor():
    a = np.ones((2, 3))
    for y in (ops.exp(a), ops.add(a, 1.0), ops.affine(a, a.T), ops.concat([a, a])):
        assert type(y) is np.ndarray
    for y in (ops.exp(Tensor(a)), ops.add(1.0, Tensor(a)), ops.affine(a, Tensor(a.T)), ops.concat([a, Tensor(a)])):
        assert isinstance(y, Tensor)


def test_array_times_tensor_is_a_tensor_on_either_side():
    a, t = np.arange(1.0, 5.0).reshape(2, 2), Tensor(np.full((2, 2), 2.0))
    for y, expected in (
        (a * t, a * 2), (t * a, a * 2), (a + t, a + 2), (a - t, a - 2), (a / t, a / 2), (a @ t, a @ t.data),
        (np.float64(3) * t, 3 * t.data), (3 - t, 3 - t.data), (2 / t, 2 / t.data),
    ):  # fmt: skip
        assert isinstance(y, Tensor)
        np.testing.assert_array_equal(y.data, expected)


def test_comparisons_give_plain_boolean_arrays():
    a, b = Tensor([1.0, 2.0, 3.0]), Tensor([2.0, 2.0, 2.0])
    for y, expected in (
        (a < b, [1, 0, 0]), (a <= b, [1, 1, 0]), (a > b, [0, 0, 1]), (a >= 2, [0, 1, 1]), (a == b, [0, 1, 0]),
        (a != b, [1, 0, 1]), (b.data < a, [0, 0, 1]),
    ):  # fmt: skip
        assert type(y) is np.ndarray and y.dtype == bool
        np.testing.assert_array_equal(y, np.array(expected, bool))


def test_tensors_are_keys_by_identity_although_they_compare_by_value():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert {a: "a", b: "b"}[a] == "a" and len({a, b}) == 2


def test_no_grad_computes_and_remembers_nothing():
    x = Tensor([1.0, 2.0])
    alive = weakref.ref(x)
    with no_grad():
        y = ops.exp(x) * 2
        with pytest.raises(ValueError, match="no tape"):
            y.backward(np.ones(2))
    assert isinstance(y, Tensor) and y.op is None and y.inputs == ()
    del x
    gc.collect()
    assert alive() is None
    assert ops.exp(y).op is not None  # recording again


def test_no_grad_ends_with_its_block_even_when_an_error_leaves_it():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert ops.exp(Tensor([1.0])).op is not None


def test_lists_and_numbers_become_float64_and_float_arrays_are_taken_as_they_are():
    a = np.ones(2, np.float32)
    assert Tensor(a).data is a
    assert Tensor([1, 2]).dtype == Tensor(3).dtype == np.float64
    assert Tensor(Tensor(a)).data is a
    assert Tensor(np.float32(2)).dtype == np.float32


def test_python_numbers_and_numpy_scalars_do_not_widen_float32():
    x = Tensor(np.ones(3, np.float32))
    for c in (2, 0.5, np.float64(0.5), np.float32(2), np.array(2.0)):
        for y in (x + c, c + x, x - c, c - x, x * c, c * x, x / c, c / x, ops.maximum(x, c), ops.gate(x, c)):
            assert y.dtype == grad(y, x, upstream=np.ones(3, np.float32)).dtype == np.float32


def test_shape_and_numbers_of_a_tensor():
    x = Tensor([[1.0, 2.0, 3.0]])
    assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((1, 3), 2, 3, 1, np.float64)
    assert x.sum().item() == float(x.sum()) == 6.0
    assert type(x.sum().item()) is float
    assert bool(x.sum()) and not bool(x.sum() - 6)
    assert repr(x) == "Tensor([[1. 2. 3.]])" and repr(x.sum()) == "Tensor(6., made by SumOver)"


# The walk


def test_a_chain_of_100_000_operations():
    x = Tensor(np.array([0.5]))
    y = x
    for _ in range(100_000):
        y = y + 1
    assert grad(y, x, upstream=np.array([3.0])) == [3.0]
    y.backward(np.array([3.0]))
    assert x.grad == [3.0]


def test_40_diamonds_are_walked_in_40_steps():
    x = Tensor(np.array([1.0]))
    y = x
    for _ in range(40):
        y = y + y
    visited = []
    Tape(y, [x], "gradient").walk(np.ones(1), lambda n, g: visited.append(n) or gradient_on_arrays(n, g))
    assert grad(y, x) == [2.0**40]
    assert len(visited) == 40


def test_a_graph_5000_wide():
    x = Tensor(np.array([1.0, 2.0]))
    parts = [x * k for k in range(5000)]
    y = parts[0]
    for part in parts[1:]:
        y = y + part
    np.testing.assert_array_equal(grad(y, x, upstream=np.ones(2)), np.full(2, 5000 * 4999 / 2))


def test_every_node_comes_once_and_after_all_of_its_consumers():
    x = Tensor([1.0])
    a = ops.exp(x)
    b = a * x
    y = (b + a) * b
    order = topological(y, lambda n: n.inputs)
    assert len(order) == len(set(order)) == 5
    place = {node: k for k, node in enumerate(order)}
    assert all(place[i] > place[node] for node in order for i in node.inputs)


def test_shared_nodes_sum_their_signals():
    x = Tensor([3.0])
    h = x * x
    assert grad(h + h * h, x) == [2 * 3.0 + 4 * 27.0]


def test_gradients_of_inner_nodes_and_of_leaves_below_them():
    x = Tensor([2.0])
    h = x * x
    y = h * h
    of_h, of_x, of_y = grad(y, [h, x, y])
    assert (of_h, of_x, of_y) == ([8.0], [32.0], [1.0])


def test_sources_that_do_not_matter_get_zeros_of_their_shape_and_type():
    x, other = Tensor([2.0]), Tensor(np.ones((2, 3), np.float32))
    for create_graph in (False, True):
        zeros = raw(grad(ops.exp(x), other, create_graph=create_graph))
        assert zeros.dtype == np.float32
        np.testing.assert_array_equal(zeros, np.zeros((2, 3)))


def test_a_single_input_gives_a_single_result_and_a_sequence_a_list():
    x = Tensor([2.0])
    assert isinstance(grad(x * x, x), np.ndarray)
    assert isinstance(grad(x * x, (x,)), list)


def test_upstream_weighs_the_outputs_and_may_be_a_tensor():
    x, w = Tensor([1.0, 2.0]), np.array([10.0, 1.0])
    np.testing.assert_array_equal(grad(x * x, x, upstream=w), [20, 4])
    np.testing.assert_array_equal(grad(x * x, x, upstream=Tensor(w)), [20, 4])


def test_neither_seed_nor_returned_arrays_are_shared_or_changed():
    a, b = Tensor(np.ones(3)), Tensor(np.ones(3))
    seed = np.array([1.0, 2.0, 3.0])
    for y in (a + b, a + b + a, (a + b) * 1, ops.reshape(a + b, (3, 1)).reshape(3), ops.concat([a[:1], b[1:]])):
        arrays = [seed, *grad(y, [a, b, y], upstream=seed)]
        np.testing.assert_array_equal(seed, [1, 2, 3])
        for k, one in enumerate(arrays):
            assert one.flags.writeable
            for other in arrays[:k]:
                assert not np.shares_memory(one, other)


def test_each_element_of_a_returned_gradient_can_be_changed_alone():
    x = Tensor(np.ones((2, 3)))
    for y in (x.sum(), x.mean(), ops.broadcast_to(x[0], (2, 3)).sum()):
        g = grad(y, x)
        before = g.copy()
        g[0, 0] += 1
        assert abs(g - before).sum() == 1


def test_backward_adds_to_the_leaves_and_leaves_no_shared_memory():
    a, b = Tensor(np.ones(2)), Tensor(np.ones(2))
    seed = np.array([1.0, 2.0])
    y = a + b
    y.backward(seed)
    assert not np.shares_memory(a.grad, b.grad) and not np.shares_memory(a.grad, seed)
    y.backward(seed)
    np.testing.assert_array_equal(a.grad, [2, 4])
    np.testing.assert_array_equal(b.grad, [2, 4])
    assert y.grad is None


def test_the_input_arrays_are_never_changed():
    x = np.array([1.0, 2.0, 3.0])
    t = Tensor(x)
    grad(ops.softmax(t * t + t)[1] + t.max(), t)
    np.testing.assert_array_equal(x, [1, 2, 3])


def test_signals_are_dropped_once_used():
    x = Tensor(np.ones(1000))
    y = x
    for _ in range(50):
        y = ops.tanh(y)
    seen, most = [], 0

    def rule(node, g):
        nonlocal most
        shares = gradient_on_arrays(node, g)
        seen.append(weakref.ref(shares[0]))
        most = max(most, sum(ref() is not None for ref in seen))
        return shares

    Tape(y, [x], "gradient").walk(np.ones(1000), rule)
    assert len(seen) == 50 and most <= 3


def test_a_tape_is_freed_with_its_last_tensor():
    x = Tensor(np.ones(3))
    h = ops.exp(x)
    alive = weakref.ref(h)
    y = h * h
    grad(y.sum(), x)
    del h, y
    gc.collect()
    assert alive() is None


def test_broadcasting_is_undone_by_a_sum_over_the_repeated_axes():
    g = np.arange(24.0).reshape(2, 3, 4)
    for shape, expected in (
        ((2, 3, 4), g), ((3, 4), g.sum(0)), ((1, 4), g.sum((0, 1))[None]), ((), g.sum()),
        ((2, 1, 1), g.sum((1, 2), keepdims=True)),
    ):  # fmt: skip
        np.testing.assert_array_equal(unbroadcast(g, shape), expected)


def test_a_share_that_is_a_function_is_called_only_if_someone_wants_it():
    called = []

    class Lazy(Op):
        def forward(self, a, b):
            return a * b

        def gradient(self, g, y, a, b):
            return lambda: called.append("a") or g * b, lambda: called.append("b") or g * a

    a, b = Tensor([2.0]), Tensor([5.0])
    assert grad(record(Lazy(), a, b), a) == [5.0]
    assert called == ["a"]


def test_shares_for_what_does_not_depend_on_the_sources_are_absorbed_before_broadcasting_is_undone():
    x, b = Tensor(np.ones((4, 2))), Tensor(np.ones(2))
    entries = []
    Tape(x + b, [x], "gradient").walk(np.ones((4, 2)), gradient_on_arrays, lambda n, k, s: entries.append((k, s.shape)))
    assert entries == [(1, (4, 2))]


def test_replay_gives_the_values_on_other_sources():
    x, w = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    h = x * w
    y = ops.tanh(h) + w
    values = replay(Tape(y, [x], "gradient"), {x: np.zeros(2)})
    np.testing.assert_array_equal(values[y], w.data)
    np.testing.assert_array_equal(values[h], [0, 0])


# Derivatives of derivatives


def test_second_and_third_derivatives_of_a_sine():
    x = Tensor(np.linspace(-2, 2, 5))
    y, expected = ops.sin(x), (np.cos(x.data), -np.sin(x.data), -np.cos(x.data))
    for known in expected:
        y = grad(y.sum(), x, create_graph=True)
        assert isinstance(y, Tensor)
        assert_close(y.data, known)


def test_create_graph_goes_through_fused_operations_by_their_twins():
    x = Tensor([3.0])
    h = record(Twice(), x)
    g = grad(h * h, x, create_graph=True)
    assert g.data == [24.0]
    assert grad(g, x) == [8.0]


def test_a_gradient_with_create_graph_follows_its_upstream_too():
    x, w = Tensor([3.0]), Tensor([1.0])
    g = grad(x * x, x, upstream=w, create_graph=True)
    assert grad(g, w) == [6.0]


def test_create_graph_records_even_the_expansion_made_inside_no_grad():
    x = Tensor([3.0])
    y = record(Twice(), x) * x
    with no_grad():
        assert raw(grad(y, x, create_graph=True)) == [12.0]
    assert y.op is not None and ops.exp(x).op is not None


def test_the_public_names_are_the_tapes():
    assert minidl.Tensor is Tensor and minidl.grad is grad and repr(Relu()) == "Relu"


def test_a_tape_refuses_when_a_parameter_changed_behind_a_view():
    x, w = Tensor(np.ones((1, 4))), Tensor(np.ones(8))
    y = ops.affine(x, w.reshape(2, 4).T).sum()
    grad(y, x)
    w.data[...] = 2.0
    touch([w])
    with pytest.raises(RuntimeError, match="a parameter changed after Affine used it"):
        grad(y, x)
