"""Explaining: what is wrong with an argument is said in one sentence, with what came and what was expected."""

import numpy as np
import pytest

from minidl import NoRule, nn, ops
from minidl.explain import (
    bisection,
    deeplift,
    gradient_times_input,
    integrated_gradients,
    lrp,
    occlusion,
    rules,
    saliency,
    sampled_shapley,
    shapley,
    taylor_decomposition,
)

METHODS = [
    lrp,
    saliency,
    gradient_times_input,
    lambda *args, **kwargs: deeplift(*args, reference=0.0, **kwargs),
]
every_method = pytest.mark.parametrize("method", METHODS, ids=["lrp", "saliency", "gradient_times_input", "deeplift"])
W = np.arange(12.0).reshape(4, 3)


def model(x):
    return ops.affine(x, W)


def sequence_model(x):
    return ops.affine(x, W)  # (N, T, 4) to (N, T, 3)


X = np.ones((2, 4))


@every_method
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinite_input(method, bad):
    with pytest.raises(ValueError, match="x holds NaN or infinite values"):
        method(model, np.where(np.eye(4)[:2] == 1, bad, X), 0)


@every_method
def test_integer_input(method):
    with pytest.raises(TypeError, match=r"x must be floating point, got uint8; convert and scale it, e.g. x / 255.0"):
        method(model, X.astype(np.uint8), 0)


@every_method
def test_a_single_number_has_no_rows(method):
    with pytest.raises(ValueError, match=r"rows on the first axis, got a single number; use x\[None\]"):
        method(lambda x: x, np.float64(3.0), None)


@every_method
@pytest.mark.parametrize("target, came", [(3, 3), (-1, -1), (np.array([0, 7]), 7)])
def test_target_out_of_range(method, target, came):
    with pytest.raises(ValueError, match=rf"target must lie in 0..2, got {came}"):
        method(model, X, target)


@every_method
def test_target_missing(method):
    with pytest.raises(ValueError, match=r"target is missing; the output has shape \(2, 3\)"):
        method(model, X)


@every_method
def test_int_target_for_a_sequence(method):
    with pytest.raises(ValueError, match=r"output \(N, K\), but this one has shape \(2, 5, 3\); pass a function"):
        method(sequence_model, np.ones((2, 5, 4)), 0)


@every_method
@pytest.mark.parametrize(
    "target, sentence",
    [
        (np.array([0, 1, 2]), r"a target of ints must have shape \(2,\), got \(3,\); weights are floats"),
        (np.array([0.5, 0.5]), r"target weights must have shape \(3,\) or \(2, 3\), got \(2,\)"),
        ("cat", "target must be an int, ints"),
        (lambda y: y, r"must return a tensor of one number for each of the 2 rows, got Tensor of shape \(2, 3\)"),
        (lambda y: y.data[:, 0], r"got ndarray of shape \(2,\)"),
    ],
)
def test_target_of_another_kind(method, target, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        method(model, X, target)


@every_method
def test_a_model_that_leaves_the_tape(method):
    with pytest.raises(TypeError, match="the model must return a Tensor computed from x, got ndarray"):
        method(lambda x: x.data @ W, X, 0)


@every_method
def test_a_model_that_mixes_up_the_rows(method):
    with pytest.raises(ValueError, match=r"a row for each of the 2 rows of x, got shape \(8,\)"):
        method(lambda x: x.reshape(8), X)


@pytest.mark.parametrize("method", [deeplift, gradient_times_input])
def test_reference_of_another_shape(method):
    with pytest.raises(ValueError, match=r"a number or broadcast to the shape of x, \(2, 4\); got \(3,\)"):
        method(model, X, 0, reference=np.zeros(3))
    with pytest.raises(ValueError, match="reference holds NaN or infinite values"):
        method(model, X, 0, reference=np.nan)


@pytest.mark.parametrize("method", [deeplift, gradient_times_input, integrated_gradients])
@pytest.mark.parametrize("reference, came", [(None, "None"), ("zero", "'zero'"), ([None, 1.0], r"\[None, 1.0\]")])
def test_a_reference_that_is_no_number(method, reference, came):
    with pytest.raises(TypeError, match=f"reference must be a number or an array of numbers, got {came}"):
        method(model, X, 0, reference=reference)


@pytest.mark.parametrize("value", [None, "mean"])
def test_what_stands_in_the_place_of_x_must_be_numbers(value):
    with pytest.raises(TypeError, match=f"occlusion: fill must be a number or an array of numbers, got {value!r}"):
        occlusion(model, X, 0, window=1, fill=value)
    with pytest.raises(TypeError, match=f"shapley: reference must be a number or an array of numbers, got {value!r}"):
        shapley(model, X, 0, reference=value)


@pytest.mark.parametrize("method", [deeplift, integrated_gradients])
def test_a_reference_that_the_model_answers_with_no_number(method):
    def logarithms(x):
        return ops.total(ops.log(x), 1)

    sentence = f"{method.__name__}: the model's output for the reference holds NaN or infinite values"
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=sentence):
        method(logarithms, X, reference=0.0)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=sentence):
        method(logarithms, X, reference=np.array([[0.5], [-1.0]]), axis=0)


KNOWS_THE_BATCH = {
    "integrated_gradients": lambda *a, **k: integrated_gradients(*a, reference=0.0, steps=7, **k),
    "occlusion": lambda *a, **k: occlusion(*a, **k),
    "shapley": lambda *a, **k: shapley(*a, reference=0.0, **k),
    "sampled_shapley": lambda *a, **k: sampled_shapley(*a, reference=0.0, orders=1, rng=0, **k),
    "taylor_decomposition": lambda *a, **k: taylor_decomposition(*a, roots=bisection(-np.eye(4)[:2] - 1, **k)),
}


@pytest.mark.parametrize("name, method", KNOWS_THE_BATCH.items(), ids=KNOWS_THE_BATCH)
def test_a_target_that_knows_the_batch_is_asked_about_it_with_a_chunk_of_1(name, method):
    weights = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]])
    with pytest.raises(
        ValueError, match=rf"{name}: asked about \d+ rows, .* ask about 2 rows at a time \(chunk=1\)"
    ) as e:
        method(model, X, lambda y: ops.total(y * weights, 1))
    assert "broadcast" in str(e.value.__cause__)
    found = method(model, X, lambda y: ops.total(y * weights, 1), chunk=1)
    np.testing.assert_allclose(found.scores, method(model, X, weights).scores, rtol=1e-12)


def test_an_error_with_another_cause_is_not_laid_on_the_number_of_rows():
    def broken(x):
        if (x.data < 0.5).any():
            raise RuntimeError("no element may be below a half")
        return ops.affine(x, W)

    with pytest.raises(RuntimeError, match="no element may be below a half"):
        occlusion(broken, X, 0)


@pytest.mark.parametrize("chunk", [0, 1.5, True])
def test_chunks_are_positive_ints(chunk):
    with pytest.raises(ValueError, match=f"integrated_gradients: chunk must be an int of at least 1, got {chunk}"):
        integrated_gradients(model, X, 0, reference=0.0, chunk=chunk)
    with pytest.raises(ValueError, match=f"bisection: chunk must be a positive int, got {chunk}"):
        bisection(X, chunk=chunk)


@pytest.mark.parametrize(
    "table, sentence",
    [
        ("epsilon", "lrp: rules must be a rule or a table of"),
        (rules.rescale(), "lrp: rules must be a rule or a table of"),
        (((nn.Dense, rules.rescale()),), r"Rescale\(near_zero=None\) is not one of its rules"),
        (((3, rules.basic()),), "a key must be a layer class, a glob on its path, ANY or FIRST, got 3"),
        ((rules.basic(), rules.basic()), r"each row of rules must be \(key, rule\)"),
    ],
)
def test_unknown_rule(table, sentence):
    with pytest.raises(TypeError, match=sentence):
        lrp(model, X, 0, rules=table)


def test_a_table_without_a_row_for_a_layer():
    network = nn.Sequential(nn.Dense(4, 3, rng=0), nn.ReLU(), nn.Dense(3, 2, rng=1))
    with pytest.raises(NoRule, match=r"no row of rules matches Affine in layer 2 Dense; add a last row \(ANY, rule\)"):
        lrp(network, X.astype(np.float32), 0, rules=(("0", rules.basic()),))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: rules.epsilon(0), "eps must be greater than 0 and finite, got 0; without a stabiliser use basic"),
        (lambda: rules.epsilon(np.nan), "epsilon: eps must be greater than 0 and finite, got nan"),
        (lambda: rules.z_bounded(np.nan, 1), "z_bounded: low holds NaN or infinite values"),
        (lambda: rules.z_bounded(0, [1, np.inf]), "z_bounded: high holds NaN or infinite values"),
        (lambda: rules.z_bounded(1, 0), "z_bounded: low must not be above high, got 1 and 0"),
        (lambda: rules.z_bounded(np.array([0, 2]), 1), r"low must not be above high, got array\(\[0, 2\]\) and 1"),
        (lambda: rules.alpha_beta(2, 1), "alpha \\+ beta must be 1, got 2 \\+ 1 = 3"),
        (lambda: rules.basic(bias="drop"), "bias must be one of 'absorb', 'redistribute', 'ignore', got 'drop'"),
        (lambda: rules.rescale(near_zero=-1), "near_zero must be at least 0, got -1"),
    ],
)
def test_rules_with_bad_settings(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: rules.epsilon("absorb"), "epsilon: eps must be a number, got 'absorb'"),
        (lambda: rules.gamma("a"), "gamma: gamma must be a number, got 'a'"),
        (lambda: rules.gamma(True), "gamma: gamma must be a number, got True"),
        (lambda: rules.alpha_beta("2"), "alpha_beta: alpha must be a number, got '2'"),
        (lambda: rules.alpha_beta(2, "1"), "alpha_beta: beta must be a number, got '1'"),
        (lambda: rules.alpha_beta(2, minus_beta="1"), "alpha_beta: minus_beta must be a number, got '1'"),
        (lambda: rules.rescale("a"), "rescale: near_zero must be a number, got 'a'"),
        (lambda: rules.z_bounded("a", 1), "z_bounded: low must be a number or an array of numbers, got <U1"),
        (lambda: rules.z_bounded(0, None), "z_bounded: high must be a number or an array of numbers, got object"),
    ],
)
def test_rules_with_settings_that_are_no_numbers(make, sentence):
    with pytest.raises(TypeError, match=sentence):
        make()


@pytest.mark.parametrize("method", [METHODS[0], METHODS[3]], ids=["lrp", "deeplift"])
@pytest.mark.filterwarnings("ignore:.* saturates")
def test_softmax_says_which_layer_and_what_to_do(method):
    network = nn.Sequential(body=nn.Dense(4, 3, rng=0), top=nn.Softmax())
    with pytest.raises(NoRule, match=r"Softmax in layer top Softmax has no \w+ rule: explain the logit"):
        method(network, X.astype(np.float32), 0)


def test_a_product_of_two_live_signals_asks_which_is_the_gate():
    class Squeezed(nn.Module):
        def forward(self, x, rng=None):
            return x * ops.tanh(x)

    class Attending(nn.Module):
        def forward(self, x, rng=None):
            return x @ ops.swapaxes(x, 0, 1)

    sentence = r"Product in layer 0 Squeezed has no relevance rule: two values .*: write gate\(signal, gate\)"
    with pytest.raises(NoRule, match=sentence):
        lrp(nn.Sequential(Squeezed(), nn.Dense(4, 1, rng=0, dtype="float64")), X)
    sentence = "MatMul in layer 0 Attending has no relevance rule: two matrices .*: explain one at a time"
    with pytest.raises(NoRule, match=sentence):
        lrp(nn.Sequential(Attending(), nn.Dense(2, 1, rng=0, dtype="float64")), X)


def test_weights_that_depend_on_the_input():
    with pytest.raises(NoRule, match="its weights depend on the input"):
        lrp(lambda x: ops.affine(x, ops.tanh(x[0][:, None])), X, 0)


def test_batch_statistics_refuse_until_eval():
    network = nn.Sequential(nn.Dense(4, 3, rng=0), nn.BatchNorm1d(3))
    x = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    with pytest.raises(NoRule, match=r"call model.eval\(\) first"):
        lrp(network, x, 0)
    network.eval()
    lrp(network, x, 0)
