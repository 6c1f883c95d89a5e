"""The same layers, losses and optimisers in torch."""

import numpy as np
import pytest

from minidl import Tensor, losses, nn, optim

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def given(layer, twin, torch):
    """The twin gets the layer's weights; dense ones are (in, out) here and (out, in) there."""
    with torch.no_grad():
        W = layer.W.data.T if isinstance(layer, nn.Dense) else layer.W.data
        twin.weight.copy_(torch.tensor(np.ascontiguousarray(W)))
        if getattr(layer, "b", None) is not None:
            twin.bias.copy_(torch.tensor(layer.b.data))
    return twin


CASES = {
    "Dense": (lambda: nn.Dense(4, 3, dtype="float64"), lambda t: t.nn.Linear(4, 3), (5, 4)),
    "Conv2d": (lambda: nn.Conv2d(2, 3, 3, 2, 1, dtype="float64"), lambda t: t.nn.Conv2d(2, 3, 3, 2, 1), (2, 2, 7, 6)),
    "same": (
        lambda: nn.Conv2d(2, 3, (3, 5), padding="same", dtype="float64"),
        lambda t: t.nn.Conv2d(2, 3, (3, 5), padding="same"),
        (2, 2, 7, 6),
    ),
    "Conv1d": (lambda: nn.Conv1d(2, 3, 4, 2, 1, dtype="float64"), lambda t: t.nn.Conv1d(2, 3, 4, 2, 1), (2, 2, 9)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(3, dtype="float64"), lambda t: t.nn.BatchNorm1d(3), (5, 3)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3, dtype="float64"), lambda t: t.nn.BatchNorm2d(3), (5, 3, 2, 4)),
    "PReLU": (lambda: nn.PReLU(3, dtype="float64"), lambda t: t.nn.PReLU(3), (5, 3, 2)),
    "ELU": (lambda: nn.ELU(0.7), lambda t: t.nn.ELU(0.7), (5, 3)),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2), lambda t: t.nn.MaxPool2d(3, 2), (2, 2, 7, 8)),
    "AvgPool2d": (lambda: nn.AvgPool2d(2, 1), lambda t: t.nn.AvgPool2d(2, 1), (2, 2, 7, 8)),
    "Softmax": (lambda: nn.Softmax(), lambda t: t.nn.Softmax(-1), (5, 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_gradients_and_statistics(torch, name):
    make, make_twin, shape = CASES[name]
    rng = np.random.default_rng(0)
    layer, twin = make(), make_twin(torch).double()
    for p in layer.parameters().values():
        p.data[...] = rng.normal(size=p.shape)
    if layer.parameters():
        given(layer, twin, torch)
    x = rng.normal(size=shape)
    a, b = Tensor(x), torch.tensor(x, requires_grad=True)
    y, z = layer(a), twin(b)
    upstream = rng.normal(size=y.shape)
    assert np.allclose(y.data, z.detach().numpy(), atol=1e-10)
    y.backward(upstream)
    z.backward(torch.tensor(upstream))
    assert np.allclose(a.grad, b.grad.numpy(), atol=1e-10)
    if layer.parameters():
        dW = twin.weight.grad.numpy()
        assert np.allclose(layer.W.grad, dW.T if name == "Dense" else dW, atol=1e-10)
    if "Batch" in name:
        assert np.allclose(layer.running_mean, twin.running_mean.numpy(), atol=1e-10)
        assert np.allclose(layer.running_var, twin.running_var.numpy(), atol=1e-10)
        assert np.allclose(layer.eval()(x).data, twin.eval()(b).detach().numpy(), atol=1e-10)


@pytest.mark.parametrize("name", ["cross_entropy", "binary_cross_entropy", "mse"])
def test_losses(torch, name):
    rng = np.random.default_rng(0)
    y, t = rng.normal(size=(5, 3)), rng.random((5, 3))
    target = rng.integers(0, 3, 5) if name == "cross_entropy" else t
    f = torch.nn.functional
    peer = {
        "cross_entropy": f.cross_entropy,
        "binary_cross_entropy": f.binary_cross_entropy_with_logits,
        "mse": f.mse_loss,
    }
    ours = getattr(losses, name)(Tensor(y), target).item()
    assert abs(ours - peer[name](torch.tensor(y), torch.tensor(target)).item()) < 1e-14


@pytest.mark.parametrize("name", ["SGD", "momentum", "RMSprop", "Adam"])
def test_optimisers(torch, name):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(4, 3))
    p, q = Tensor(start.copy()), torch.tensor(start, requires_grad=True)
    ours, theirs = {
        "SGD": (lambda d: optim.SGD(d, 0.1, weight_decay=0.01), lambda d: torch.optim.SGD(d, 0.1, weight_decay=0.01)),
        "momentum": (lambda d: optim.SGD(d, 0.1, 0.9), lambda d: torch.optim.SGD(d, 0.1, 0.9)),
        "RMSprop": (lambda d: optim.RMSprop(d, 0.01), lambda d: torch.optim.RMSprop(d, 0.01)),
        "Adam": (lambda d: optim.Adam(d, 0.01), lambda d: torch.optim.Adam(d, 0.01)),
    }[name]
    ours, theirs = ours({"p": p}), theirs([q])
    for _ in range(30):
        g = rng.normal(size=start.shape)
        p.grad, q.grad = g, torch.tensor(g)
        ours.step()
        theirs.step()
    assert np.allclose(p.data, q.detach().numpy(), atol=1e-12)
