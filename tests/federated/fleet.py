"""Small fleets of clients for tests."""

import numpy as np

from minidl import nn
from minidl.federated import Client


def network(seed=0, dtype="float32", noise=0.0, batch_norm=False):
    rng = np.random.default_rng(seed)
    layers = [nn.Dense(4, 6, rng=rng, dtype=dtype)]
    layers += [nn.BatchNorm1d(6, dtype=dtype)] if batch_norm else []
    layers += [nn.Tanh(), *([nn.Dropout(noise)] if noise else []), nn.Dense(6, 3, rng=rng, dtype=dtype)]
    return nn.Sequential(*layers)


def examples(n, seed=0, dtype="float32"):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(dtype)
    return x, (x[:, :3] + 0.3 * rng.normal(size=(n, 3))).argmax(1)


def fleet(sizes, seed=0, dtype="float32"):
    x, y = examples(sum(sizes), seed, dtype)
    cuts = np.cumsum(sizes)[:-1]
    return [Client(f"c{k}", a, b) for k, (a, b) in enumerate(zip(np.split(x, cuts), np.split(y, cuts), strict=True))]


def assert_same_bits(one, other):
    assert one.weights.keys() == other.weights.keys()
    for path, a in one.weights.items():
        np.testing.assert_array_equal(a, other.weights[path], err_msg=path)
    for name in one.history.columns:
        if name != "seconds":
            np.testing.assert_array_equal(one.history[name], other.history[name], err_msg=name)
    assert one.history.dropped == other.history.dropped
