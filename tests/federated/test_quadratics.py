"""Federated averaging where everything has a closed form: client k's loss is a_k (w - c_k)^2 / 2, w one number."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import losses, nn
from minidl.federated import Client, fedavg, fedsgd, sequential_sgd

ETA = 0.5
bowls = st.lists(
    st.tuples(st.integers(1, 4), st.floats(0.1, 1.5), st.floats(-2, 2)), min_size=1, max_size=4
)  # examples, curvature a, minimum c


def fleet(bowls):
    """Clients with so many equal examples, each with the loss a (w - c)^2 / 2."""
    inputs = [np.full((n, 1), a**0.5) for n, a, _ in bowls]
    return [Client(k, x, c * x) for k, (x, (_, _, c)) in enumerate(zip(inputs, bowls, strict=True))]


def line(w=1.0):
    model = nn.Sequential(nn.Dense(1, 1, bias=False, dtype="float64"))
    model[0].W = np.array([[w]])
    return model


def run(bowls, rounds, E, C=1.0, w=1.0, **settings):
    """The history of a run from w, with w after each round as a column."""
    settings = {"B": None, "lr": ETA, "seed": 0, "loss": losses.euclidean, "progress": False} | settings
    watch = {"w": lambda model: model[0].W.item()}
    return fedavg(line(w), fleet(bowls), rounds=rounds, C=C, E=E, watch=watch, **settings).history


def where_it_ends(bowls, E):
    """The w that a round leaves where it was: sum_k n_k (1 - (1 - eta a_k)^E) (w - c_k) = 0."""
    n, a, c = np.array(bowls).T
    weight = n * (1 - (1 - ETA * a) ** E)
    return (weight * c).sum() / weight.sum()


@given(bowls=bowls, E=st.integers(1, 6))
def test_a_round_takes_each_client_so_many_steps_towards_its_own_minimum(bowls, E):
    n, a, c = np.array(bowls).T
    w, expected = 1.0, []
    for _ in range(3):
        w = (n / n.sum()) @ (c + (w - c) * (1 - ETA * a) ** E)
        expected.append(w)
    np.testing.assert_allclose(run(bowls, 3, E)["w"], expected, rtol=0, atol=1e-13)


@pytest.mark.source("fedavg:fig3")
def test_with_very_many_local_epochs_one_round_is_all_that_happens():
    bowls = [(1, 0.4, -1.0), (3, 1.2, 0.5), (2, 0.9, 2.0)]
    n, a, c = np.array(bowls).T
    w = run(bowls, 2, 200)["w"]
    own = (n @ c) / n.sum()  # the mean of the clients' own minima, whatever the curvatures
    lowest = (n * a) @ c / (n @ a)
    np.testing.assert_allclose(w, own, atol=1e-12)  # (1 - 0.2)^200 is 4e-20
    assert abs(own - lowest) > 0.05


@pytest.mark.source("fedavg:fig10")
@given(bowls=bowls)
def test_one_local_epoch_ends_in_the_minimum_and_more_of_them_beside_it(bowls):
    n, a, c = np.array(bowls).T

    def objective(w):
        return n / n.sum() @ (a * (w - c) ** 2 / 2)

    lowest = (n * a) @ c / (n @ a)
    for E in (1, 5):
        end = where_it_ends(bowls, E)
        assert run(bowls, 1, E, w=end)["w"][0] == pytest.approx(end, abs=1e-13)
        assert abs(run(bowls, 1, E, w=end + 1)["w"][0] - end) < 1
        assert objective(end) >= objective(lowest) - 1e-13
        if E == 1:
            assert end == pytest.approx(lowest, abs=1e-13)


@pytest.mark.source("fedavg:fig5")
@given(bowl=st.tuples(st.just(2), st.floats(0.1, 1.5), st.floats(-2, 2)), K=st.integers(1, 3), E=st.integers(2, 5))
def test_where_clients_agree_local_epochs_save_as_many_rounds(bowl, K, E):
    averaged, slowly = run([bowl] * K, 3, E)["w"], run([bowl] * K, 3 * E, 1)["w"]
    np.testing.assert_allclose(averaged, slowly[E - 1 :: E], rtol=0, atol=1e-13)


@pytest.mark.source("fedavg:fig4", "fedavg:table3")
@given(a=st.floats(0.1, 1.5), decay=st.sampled_from([0.5, 0.99, 0.9934]), E=st.integers(1, 5))
def test_the_rate_falls_from_round_to_round_and_from_step_to_step_of_plain_descent(a, decay, E):
    c, rates = -0.5, ETA * decay ** np.arange(4)
    history = run([(3, a, c)], 4, E, decay=decay)
    np.testing.assert_allclose(history["w"], c + 1.5 * np.cumprod((1 - rates * a) ** E), rtol=0, atol=1e-13)
    (client,) = fleet([(3, a, c)])
    steps = sequential_sgd(
        line(), client.x, client.y, steps=4, B=2, lr=ETA, seed=0, loss=losses.euclidean, decay=decay, every=2
    )
    assert steps.weights["0.W"].item() == pytest.approx(c + 1.5 * np.prod(1 - rates * a), abs=1e-13)
    np.testing.assert_allclose(steps.history["lr"], rates[1::2])


@pytest.mark.source("fedavg:fig9")
@pytest.mark.parametrize("m", [1, 4])
def test_the_swing_from_round_to_round_is_that_of_the_mean_of_so_many_clients(m):
    """w_t = (1 - eta a) w_{t-1} + eta a (mean of m of the c_k): a stationary variance of first order."""
    K, a, rounds = 8, 1.0, 600
    c = np.random.default_rng(1).normal(size=K)
    history = run([(3, a, ck) for ck in c], rounds, 1, C=0 if m == 1 else m / K, B=3)
    mean_of_m = c.var() / m * (K - m) / (K - 1)  # drawn without replacement
    rho = 1 - ETA * a
    expected = (ETA * a) ** 2 * mean_of_m / (1 - rho**2)
    independent = rounds * (1 - rho**2) / (1 + rho**2)  # squares of such a series correlate by rho^2 a step
    assert abs(history["w"][20:].var() / expected - 1) < 4 * (2 / independent) ** 0.5
    assert history["steps"].sum() == rounds * m  # the horizontal axis: gradients of mini-batches


@pytest.mark.source("fedavg:higher-accuracy")
def test_where_minima_scatter_by_chance_fedavg_ends_nearer_to_the_population_and_fedsgd_lower_in_training_loss():
    """Three clients, each with its minimum at plus or minus 1 around the population's, 0: all eight cases, to the end.

    After many passes a client's minimum counts by n_k, under FedSGD as in the training loss by n_k a_k: the mean square
    of where it ends is sum_k p_k^2, and least if all count the same.
    """
    n, a, E = np.full(3, 2), np.array([0.3, 0.6, 1.5]), 60
    weights = {"fedavg": n * (1 - (1 - ETA * a) ** E), "fedsgd": n * a}
    squares = {"fedavg": [], "fedsgd": []}
    for c in product((-1.0, 1.0), repeat=3):
        bowls, settings = list(zip(n, a, c, strict=True)), dict(C=1.0, lr=ETA, seed=0, loss=losses.euclidean)
        many = fedavg(line(), fleet(bowls), rounds=5, E=E, B=None, progress=False, **settings).weights["0.W"].item()
        one = fedsgd(line(), fleet(bowls), rounds=80, **settings).weights["0.W"].item()  # 0.6^80 is 2e-18
        squares["fedavg"].append(many**2)
        squares["fedsgd"].append(one**2)
        assert (n * a) @ (one - np.array(c)) ** 2 <= (n * a) @ (many - np.array(c)) ** 2 + 1e-13
    for name, weight in weights.items():
        assert np.mean(squares[name]) == pytest.approx(((weight / weight.sum()) ** 2).sum(), abs=1e-13)
    assert np.mean(squares["fedavg"]) < 0.8 * np.mean(squares["fedsgd"])
