"""Partitions: every row belongs to one client, and sizes and labels are what each kind says."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minidl.federated import by_key, clients_of, dirichlet, iid, log_normal, power_law, shards, sized
from minidl.federated.partition import counts

seeds = st.integers(0, 10_000)


def assert_partition(parts, n):
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert all(len(part) and (np.diff(part) > 0).all() for part in parts)


@given(n=st.integers(1, 200), K=st.integers(1, 40), seed=seeds)
def test_every_row_belongs_to_one_client(n, K, seed):
    assume(n >= 2 * K)
    labels = np.random.default_rng(seed).integers(0, 5, n)
    for parts in (iid(n, K, seed), shards(labels, K, seed), log_normal(n, K, 1.0, seed), power_law(n, K, 1.5, seed)):
        assert len(parts) == K
        assert_partition(parts, n)
    assert max(map(len, iid(n, K, seed))) - min(map(len, iid(n, K, seed))) <= 1


@pytest.mark.source("fedavg:mnist-partitions")
def test_mnists_label_counts_give_the_pathological_clients_of_the_text():
    digits = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), digits))
    two = []
    for seed in range(20):
        parts = shards(labels, 100, seed)
        assert_partition(parts, 60_000)
        assert {len(part) for part in parts} == {600}
        kinds = (counts(labels, parts, 10) > 0).sum(1)
        assert kinds.max() <= 4
        two.append((kinds == 2).sum())
    assert 75 < np.mean(two) < 93
    even = counts(labels, iid(60_000, 100, 0), 10)
    assert (even > 0).all() and even.sum() == 60_000


@pytest.mark.source("fedavg:unbalanced")
def test_unbalanced_sizes_follow_their_shares():
    sizes = np.sort([len(p) for p in power_law(10_000, 20, 1.0, 0)])[::-1]
    expected = 1 / np.arange(1, 21)
    np.testing.assert_allclose(sizes, 1 + expected / expected.sum() * 9980, atol=1)
    rng = np.random.default_rng(3)
    shares = np.exp(0.7 * rng.standard_normal(30))
    sizes = [len(p) for p in log_normal(10_000, 30, 0.7, 3)]
    np.testing.assert_allclose(sizes, 1 + shares / shares.sum() * 9970, atol=1)
    assert [len(p) for p in sized(11, [1, 1, 1e-9], 0)] == [5, 5, 1]


def test_dirichlet_goes_from_one_label_each_to_all_alike():
    labels = np.repeat(np.arange(10), 100)
    few, many = dirichlet(labels, 10, 0.05, 0), dirichlet(labels, 10, 1000.0, 0)
    assert_partition(few, 1000)
    assert_partition(many, 1000)
    share = [np.mean(counts(labels, p, 10).max(1) / counts(labels, p, 10).sum(1)) for p in (few, many)]
    assert share[0] > 0.6 and share[1] < 0.2
    assert min(map(len, dirichlet(labels, 10, 0.3, 0, least=20))) >= 20


@pytest.mark.source("fedavg:shakespeare")
def test_rows_by_key_keep_their_order_and_small_keys_are_left_out():
    keys = ["a", "b", "a", "c", "a", "b"]
    parts = by_key(keys, least=2)
    assert list(parts) == ["a", "b"]
    np.testing.assert_array_equal(parts["a"], [0, 2, 4])
    x = np.arange(6.0)[:, None]
    clients = clients_of(x, np.arange(6), parts)
    assert [c.id for c in clients] == ["a", "b"]
    np.testing.assert_array_equal(clients[1].y, [1, 5])
    assert [c.id for c in clients_of(x, np.arange(6), iid(6, 3, 0))] == [0, 1, 2]


@pytest.mark.source("fedavg:shakespeare")
def test_a_tuple_of_names_becomes_one_and_other_keys_stay_as_they_are():
    x = np.arange(6.0)[:, None]
    roles = [("play", "A"), ("play", "B"), ("other", "A")] * 2
    assert [c.id for c in clients_of(x, x, by_key(roles))] == ["play:A", "play:B", "other:A"]
    assert [c.id for c in clients_of(x, x, by_key(np.arange(6) % 2))] == [0, 1]


def test_what_cannot_be_parted_is_refused():
    labels = np.zeros(10, int)
    for call in (lambda: iid(3, 4, 0), lambda: shards(labels, 6, 0), lambda: sized(2, [1, 1, 1], 0)):
        with pytest.raises(ValueError, match="at least one row each is needed"):
            call()
    for call, sentence in (
        (lambda: sized(9, [1, 0], 0), "shares must be finite numbers above 0"),
        (lambda: log_normal(9, 2, 0.0, 0), "sigma must be above 0"),
        (lambda: power_law(9, 2, -1.0, 0), "exponent must be above 0"),
        (lambda: dirichlet(labels, 2, 0.0, 0), "alpha must be above 0"),
        (lambda: dirichlet(labels, 5, 0.01, 0, least=2), "in 100 draws with alpha = 0.01 some client of 5 had fewer"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
