"""One law for each operation on each array module: the same numbers as NumPy, in all three passes."""

import ast
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support.cases import MAKERS, cases
from support.passes import MULTIPLIER, RELEVANCE, explanations, gradients
from support.tolerance import assert_close

import minidl
from minidl import Tensor, backend, grad, losses, nn, ops, optim
from minidl.explain import (
    deconvnet,
    deeplift,
    grad_cam,
    gradient_times_input,
    guided_backprop,
    guided_grad_cam,
    integrated_gradients,
    lrp,
    saliency,
)
from minidl.explain.rules import ANY
from minidl.tape import Scope, scope

PACKAGE = Path(minidl.__file__).parent
every_operation = pytest.mark.parametrize("name", sorted(MAKERS))


def assert_same(found, expected, xp):
    """Bit for bit where NumPy computes behind a wall; up to rounding on a device, which sums in another order."""
    assert found.keys() == expected.keys()
    for name, ours in found.items():
        theirs = expected[name]
        if isinstance(theirs, str):
            assert ours == theirs, name
            continue
        assert backend.xp(ours) is xp, f"{name} left {xp.__name__}: {type(ours)}"
        ours = backend.to_numpy(ours)
        assert ours.dtype == theirs.dtype, name
        if xp.__name__ == "cupy":
            assert_close(ours, theirs, scale=1 + abs(theirs).max(initial=0))
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=name)


@every_operation
@given(data=st.data(), seed=st.integers(0, 1000))
def test_value_and_gradients_are_numpys(xp, name, data, seed):
    case, rng = data.draw(cases(name)), np.random.default_rng(seed)
    assume(all(a.ndim for a in case.arrays))  # NumPy's scalars are computed by other code than its arrays
    w = np.asarray(rng.normal(size=case(*case.arrays).shape))
    weights = [np.asarray(rng.normal(size=a.shape)) for a in case.arrays]
    moved = gradients(case.to(xp.asarray), xp.asarray(w), [xp.asarray(u) for u in weights])
    assert_same(moved, gradients(case, w, weights), xp)


@every_operation
@given(data=st.data())
def test_relevance_and_multipliers_are_numpys(xp, name, data):
    case = data.draw(cases(name))
    assert_same(explanations(case.to(xp.asarray)), explanations(case), xp)


def network(parameters):
    """A small convolutional network of operations, on whatever module its parameters come from."""
    W, b, V, c, U, d = parameters

    def model(x):
        with scope(Scope("maps", None)):
            h = ops.max_pool2d(ops.relu(ops.conv2d(x, W, b, 1, "same")), 2)
        h = ops.gate(ops.tanh(ops.affine(ops.flatten(h), V, c)), ops.sigmoid(ops.affine(ops.flatten(h), V, c)))
        return ops.affine(ops.concat([h, ops.mean(h, 1, keepdims=True)], 1), U, d)

    return model


def arrays_of_the_network():
    rng = np.random.default_rng(0)
    shapes = (3, 2, 3, 3), (3,), (27, 4), (4,), (5, 2), (2,)
    return rng.normal(size=(4, 2, 6, 6)), [rng.normal(size=s) for s in shapes]


def fields(explanation):
    found = {
        name: getattr(explanation, name)
        for name in ("scores", "output", "absorbed", "residual", "flow", "reference_output", "multipliers")
        if getattr(explanation, name) is not None
    }
    for path, kinds in explanation.absorbed_by.items():
        found |= {f"{path} {kind}": share for kind, share in kinds.items()}
    return found


EXPLAINERS = {
    "saliency": lambda f, x, zero: saliency(f, x, 1),
    "gradient times input": lambda f, x, zero: gradient_times_input(f, x, 1, reference=zero),
    **{name: lambda f, x, zero, r=rule: lrp(f, x, 1, rules=r) for name, rule in RELEVANCE.items()},
    **{
        name: lambda f, x, zero, r=rule: deeplift(f, x, 1, reference=zero, rules=r) for name, rule in MULTIPLIER.items()
    },
    "a class for each row": lambda f, x, zero: lrp(f, x, [0, 1, 1, 0], rules=((ANY, RELEVANCE["epsilon"]),)),
    "a difference of classes": lambda f, x, zero: deeplift(f, x, [1.0, -1.0], reference=0.5),
    "deconvnet": lambda f, x, zero: deconvnet(f, x, 1),
    "guided backpropagation": lambda f, x, zero: guided_backprop(f, x, 1, times_input=True),
    "integrated gradients": lambda f, x, zero: integrated_gradients(f, x, [0, 1, 1, 0], reference=zero, steps=30),
    "several references": lambda f, x, zero: deeplift(f, x, 1, reference=zero[None] * x[:, :1, None], axis=0),
    "grad-cam": lambda f, x, zero: grad_cam(f, x, 1, layer="maps"),
    "guided grad-cam": lambda f, x, zero: guided_grad_cam(f, x, 1, layer="maps"),
}


@pytest.mark.parametrize("explain", EXPLAINERS.values(), ids=EXPLAINERS)
def test_explanations_of_a_network_are_numpys(xp, explain):
    x, parameters = arrays_of_the_network()
    zero = np.full((1, 2, 6, 6), 0.1)
    there = [xp.asarray(p) for p in parameters]
    ours = explain(network(there), xp.asarray(x), xp.asarray(zero))
    theirs = explain(network(parameters), x, zero)
    assert_same(fields(ours), fields(theirs), xp)
    if xp.__name__ != "cupy":
        assert str(ours) == str(theirs)


def test_training_a_network_by_gradients_gives_numpys_parameters(xp):
    x, parameters = arrays_of_the_network()
    labels = np.array([0, 1, 1, 0])

    def train(m):
        there = [Tensor(m.asarray(p)) for p in parameters]
        for _ in range(3):
            loss = ops.mean(ops.softmax_cross_entropy(network(there)(Tensor(m.asarray(x))), m.asarray(labels)))
            there = [Tensor(p.data - 0.1 * g) for p, g in zip(there, grad(loss, there), strict=True)]
        return {str(k): p.data for k, p in enumerate(there)}

    assert_same(train(xp), train(np), xp)


def test_a_model_moved_to_a_module_computes_trains_and_explains_there(xp):
    name = xp.__name__
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(4, 2, 6, 6)), np.array([0, 1, 1, 0])

    def run(backend_name):
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding="same", rng=0), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Dropout(0.5), nn.Dense(27, 2, rng=1),
        ).to(backend_name)  # fmt: skip
        data, targets = backend.to(x, backend_name), backend.to(labels, backend_name)
        optimiser = optim.SGD(model.parameters(), 0.1, momentum=0.9)
        for _ in range(2):
            optimiser.zero_grad()
            losses.cross_entropy(model(data), targets).backward()
            optimiser.step()
        model.eval()
        found = {path: p.data for path, p in model.parameters().items()}
        found |= fields(lrp(model, data, 1, rules=RELEVANCE["epsilon"]))
        found |= {f"deeplift {k}": v for k, v in fields(deeplift(model, data, 1, reference=0.0)).items()}
        return found

    assert_same(run(name), run("numpy"), xp)


def test_returned_gradients_share_no_memory_on_any_module(xp):
    a, b = Tensor(xp.ones(3)), Tensor(xp.ones(3))
    of_a, of_b = grad(a + b, [a, b], upstream=xp.ones(3))
    of_a[0] = 5
    np.testing.assert_array_equal(backend.to_numpy(of_b), [1, 1, 1])
    whole = grad(a.sum(), a)
    whole[0] = 5
    np.testing.assert_array_equal(backend.to_numpy(whole), [5, 1, 1])


def names_imported(path):
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_no_file_but_backend_imports_cupy():
    importing = [p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py") if "cupy" in names_imported(p)]
    assert importing == ["backend.py"]


def test_operations_never_call_numpy_themselves():
    calls = [
        f"{path.name}:{node.lineno} np.{node.attr}"
        for path in (PACKAGE / "ops").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("np", "numpy")
    ]
    assert calls == []
