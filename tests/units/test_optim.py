import numpy as np
import pytest
from support.tolerance import assert_close

from minidl import Tensor, nn, optim

RNG = np.random.default_rng(0)
START, GRADIENTS = RNG.normal(size=(3, 2)), RNG.normal(size=(20, 3, 2))


def run(make, gradients=GRADIENTS, dtype=np.float64):
    p = Tensor(START.astype(dtype))
    optimiser = make({"p": p})
    for g in gradients:
        p.grad = g.astype(dtype)
        optimiser.step()
    return p.data, optimiser


def test_sgd_with_momentum_and_weight_decay():
    p, v = START.copy(), 0
    for g in GRADIENTS:
        v = 0.9 * v + g + 0.01 * p
        p = p - 0.1 * v
    assert_close(run(lambda q: optim.SGD(q, 0.1, momentum=0.9, weight_decay=0.01))[0], p, scale=10)
    assert_close(run(lambda q: optim.SGD(q, 0.1))[0], START - 0.1 * GRADIENTS.sum(0), scale=10)


def test_rmsprop_divides_by_the_running_root_mean_square():
    p, s = START.copy(), 0
    for g in GRADIENTS:
        s = 0.8 * s + 0.2 * g**2
        p = p - 0.1 * g / (np.sqrt(s) + 1e-6)
    assert_close(run(lambda q: optim.RMSprop(q, 0.1, decay=0.8, eps=1e-6))[0], p, scale=100)


def test_adam_corrects_both_means_for_their_start():
    p, m, s = START.copy(), 0, 0
    for t, g in enumerate(GRADIENTS, 1):
        g = g + 0.01 * p
        m, s = 0.8 * m + 0.2 * g, 0.95 * s + 0.05 * g**2
        p = p - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(s / (1 - 0.95**t)) + 1e-6)
    adam = run(lambda q: optim.Adam(q, 0.1, beta1=0.8, beta2=0.95, eps=1e-6, weight_decay=0.01))
    assert_close(adam[0], p, scale=100)


MAKERS = {
    "SGD": lambda q: optim.SGD(q, 0.1),
    "momentum": lambda q: optim.SGD(q, 0.1, momentum=0.9),
    "RMSprop": lambda q: optim.RMSprop(q),
    "Adam": lambda q: optim.Adam(q, weight_decay=0.1),
}


@pytest.mark.parametrize("name", MAKERS)
def test_single_precision_stays_and_data_changes_in_place(name):
    p = Tensor(START.astype(np.float32))
    memory, optimiser = p.data, MAKERS[name]({"p": p})
    gradient = GRADIENTS[0].astype(np.float32)
    p.grad = gradient.copy()
    optimiser.step()
    assert p.data is memory and memory.dtype == np.float32 and not (memory == START.astype(np.float32)).any()
    assert (p.grad == gradient).all()
    assert all(a.dtype == np.float32 for k, a in optimiser.state_dict().items() if k != "steps")
    optimiser.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize("name", MAKERS)
def test_the_state_continues_with_the_same_bits(name):
    whole, _ = run(MAKERS[name])
    half, first = run(MAKERS[name], GRADIENTS[:7])
    p = Tensor(half.copy())
    second = MAKERS[name]({"p": p})
    second.load_state_dict(first.state_dict())
    for g in GRADIENTS[7:]:
        p.grad = g
        second.step()
    assert (p.data == whole).all() and second.steps == 20


def test_rates_may_fall():
    steps, smooth = optim.StepDecay(0.8, 0.5, every=2), optim.ExponentialDecay(0.8, 0.5, every=2)
    assert [steps(k) for k in range(5)] == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert np.allclose([smooth(k) for k in range(5)], 0.8 * 0.5 ** (np.arange(5) / 2))
    p, optimiser = run(lambda q: optim.SGD(q, steps), GRADIENTS[:4])
    assert_close(p, START - np.einsum("k,kij->ij", [0.8, 0.8, 0.4, 0.4], GRADIENTS[:4]), scale=10)
    assert optimiser.rate == 0.2
    assert repr(optimiser) == "SGD(lr=StepDecay(lr=0.8, factor=0.5, every=2), momentum=0.0, weight_decay=0.0)"
    first, second = (repr(optim.SGD({"p": Tensor([1.0])}, f)) for f in (lambda k: 1 / (1 + k), lambda k: 2 / (1 + k)))
    assert first == "SGD(lr=<lambda>(1, 0.5, 0.0909091, 0.00990099, 0.000999001, ...), momentum=0.0, weight_decay=0.0)"
    assert first != second


def test_parameters_without_gradient_are_left_alone():
    model = nn.Sequential(nn.Dense(2, 2, rng=0), nn.Dense(2, 2, rng=1))
    before, optimiser = model.state_dict(), optim.Adam(model.parameters())
    with pytest.raises(RuntimeError, match=r"Adam: no parameter has a gradient; call loss.backward\(\) before step"):
        optimiser.step()
    model[0](np.ones((1, 2), np.float32)).sum().backward()
    optimiser.step()
    after = model.state_dict()
    assert [bool((after[k] == before[k]).all()) for k in before] == [False, False, True, True]


@pytest.mark.parametrize(
    "call, error, sentence",
    [
        (lambda p: optim.SGD([p], 0.1), TypeError, "SGD: parameters must be the dict from model.parameters()"),
        (lambda p: optim.SGD({}, 0.1), TypeError, "SGD: parameters must be the dict from model.parameters()"),
        (lambda p: optim.SGD({"p": p * 2}, 0.1), TypeError, "SGD: parameter p must be a Tensor that nobody computed"),
        (lambda p: optim.SGD({"p": p}, -1), ValueError, "SGD: lr must be a finite number >= 0 or a function"),
        (lambda p: optim.SGD({"p": p}, float("nan")), ValueError, "SGD: lr must be a finite number"),
        (lambda p: optim.SGD({"p": p}, 0.1, momentum=1.0), ValueError, "SGD: momentum must lie in [0, 1), got 1.0"),
        (lambda p: optim.Adam({"p": p}, beta2=-0.1), ValueError, "Adam: beta2 must lie in [0, 1), got -0.1"),
        (lambda p: optim.SGD({"p": p}, 0.1, weight_decay=-1), ValueError, "weight_decay must lie in [0, inf), got -1"),
        (lambda p: optim.Adam({"p": p}).load_state_dict({}), ValueError, "Adam: steps is missing"),
        (
            lambda p: optim.SGD({"p": p}, 0.1).load_state_dict(optim.Adam({"p": p}).state_dict()),
            ValueError,
            "SGD: mean/p (float64 of shape (1,)) is unexpected",
        ),
    ],
)
def test_bad_arguments_are_refused(call, error, sentence):
    with pytest.raises(error) as found:
        call(Tensor([1.0]))
    assert sentence in str(found.value)
