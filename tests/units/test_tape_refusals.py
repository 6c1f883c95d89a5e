"""What the tape refuses: passes without a rule, tapes that are out of date, bad arguments."""

import numpy as np
import pytest
from support.operations import Opaque, Twice

from minidl import NoRule, Tensor, grad, ops
from minidl.explain import deeplift, lrp
from minidl.tape import Scope, Tape, record, scope, touch

# Passes without a rule


def test_an_expanded_operation_keeps_its_layer_and_its_inputs():
    x, layer = Tensor([3.0]), Scope("features.0", object())
    with scope(layer):
        y = record(Twice(), x)
    tape = Tape(y, [x], "relevance")
    twin = tape.twin[y]
    assert twin.layer is layer and set(twin.inputs) == {x}
    assert y.layer is layer


@pytest.mark.filterwarnings("ignore:.* saturates")
def test_an_operation_without_a_rule_is_named_with_the_pass_the_layer_and_what_to_do():
    class Encoder:
        pass

    x = Tensor([[3.0]])
    with scope(Scope("body.2", Encoder())):
        y = record(Opaque(), x)
    for name in ("gradient", "relevance", "multiplier"):
        with pytest.raises(NoRule, match=rf"^Opaque in layer body.2 Encoder has no {name} rule: look elsewhere$"):
            Tape(y, [x], name)
    with pytest.raises(NoRule, match="^Opaque has no gradient rule"):
        grad(record(Opaque(), x), x)
    with pytest.raises(NoRule, match="explain the logit"):
        lrp(ops.softmax, np.ones((1, 3)), 0)
    with pytest.raises(NoRule, match="explain the logit"):
        deeplift(ops.softmax, np.ones((1, 3)), 0, reference=0.0)


def test_a_pass_asks_nothing_of_what_lies_below_its_sources_or_beside_them():
    x, other = Tensor([[1.0, 2.0]]), Tensor([[3.0, 4.0]])
    h = ops.softmax(record(Opaque(), x))
    y = h * 2 + record(Opaque(), other)
    tape = Tape(y, [h], "relevance")
    assert not tape.twin and tape.live == {h, y, y.inputs[0]}
    np.testing.assert_array_equal(grad(y, h, upstream=np.ones((1, 2))), [[2.0, 2.0]])


# Stale tapes


def test_a_tape_refuses_when_a_parameter_that_it_used_has_changed():
    x, w = Tensor([2.0]), Tensor([3.0])
    y = x * w
    w.data[...] = 5.0
    touch([w])
    for go_back in (lambda: grad(y, x), lambda: y.backward(), lambda: grad(y, x, create_graph=True)):
        with pytest.raises(RuntimeError, match="parameter changed after Product used it.*compute the output again"):
            go_back()
    assert grad(x * w, x) == [5.0]


def test_an_update_of_other_parameters_leaves_a_tape_valid():
    x, w, other = Tensor([2.0]), Tensor([3.0]), Tensor([4.0])
    y = x * w
    touch([other])
    assert grad(y, x) == [3.0]


def test_an_update_of_a_parameter_below_the_sources_leaves_a_tape_valid():
    x, w = Tensor([2.0]), Tensor([3.0])
    h = x * w
    y = h * h
    touch([w])
    assert grad(y, h) == [12.0]


def test_a_stale_fused_operation_refuses_before_it_is_expanded():
    x = Tensor([2.0])
    y = record(Twice(), x)
    touch([x])
    with pytest.raises(RuntimeError, match="out of date"):
        grad(y, x, create_graph=True)


# Refusals


def refusals():
    x, y = Tensor([1.0, 2.0]), Tensor([1.0, 2.0]) * 2
    w = np.ones(3)
    yield "several numbers", ValueError, r"grad of 2 numbers \(shape \(2,\)\) needs upstream=", lambda: grad(y, x)
    yield "backward of several", ValueError, "backward of 2 numbers", lambda: y.backward()
    yield "upstream's shape", ValueError, r"upstream has shape \(3,\), expected .* \(2,\)", lambda: grad(y, x, w)
    yield "backward, upstream's shape", ValueError, r"upstream has shape \(3,\)", lambda: y.backward(w)
    yield "a leaf", ValueError, "no tape", lambda: x.backward(np.ones(2))
    yield "y an array", TypeError, "y must be a Tensor, got ndarray", lambda: grad(w, x)
    yield "an input an array", TypeError, r"inputs\[1\] must be a Tensor, got ndarray", lambda: grad(y, [x, w])
    yield "assignment", TypeError, r"where\(mask, value, x\)", lambda: x.__setitem__(0, 1.0)
    yield "integers", TypeError, r"floating point, got int64; use .astype", lambda: Tensor(np.arange(3))
    yield "booleans", TypeError, "floating point, got bool", lambda: Tensor(np.ones(2, bool))
    yield "text", TypeError, "floating point, got <U1", lambda: Tensor(["a"])
    yield "asarray", TypeError, "use its .data", lambda: np.asarray(x)
    yield "a NumPy function", TypeError, "does not support ufuncs", lambda: np.exp(x)
    yield "a tensor as index", TypeError, "indices must be plain arrays", lambda: x[Tensor([0.0])]
    yield "a tensor as exponent", TypeError, "exponent must be a Python number", lambda: x**x


@pytest.mark.parametrize(("error", "sentence", "call"), [r[1:] for r in refusals()], ids=[r[0] for r in refusals()])
def test_bad_input_is_refused_with_one_sentence(error, sentence, call):
    with pytest.raises(error, match=sentence):
        call()


def test_the_truth_of_several_numbers_is_refused():
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1.0, 2.0]))
