"""Who holds which examples: partitions as lists of arrays of row numbers, one for each client.

Every row belongs to exactly one client. `clients_of` turns a partition into clients.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from ..randomness import generator
from .client import Client

__all__ = [
    "by_key", "clients_of", "counts", "dirichlet", "iid", "log_normal", "plot_partition", "power_law", "shards",
    "sized",
]  # fmt: skip

Partition = list[np.ndarray]


def iid(n: int, K: int, rng: Any) -> Partition:
    """n rows in random order, dealt out to K clients: as many for each, or one more for the first of them.

    Raises ValueError for more clients than rows. Source: fedavg:mnist-partitions
    """
    _enough("iid", n, K)
    return [np.sort(part) for part in np.array_split(generator(rng, "iid").permutation(n), K)]


def shards(labels: Any, K: int, rng: Any, per_client: int = 2) -> Partition:
    """Rows sorted by their labels, cut into shards of one size, of which each client gets `per_client` at random.

    MNIST in 200 shards of 300 for 100 clients: most clients then have two digits, some one, three or rarely four, since
    no digit has a multiple of 300 images. labels: (N,). Raises ValueError for more shards than rows.
    Source: fedavg:mnist-partitions
    """
    labels = np.asarray(labels)
    _enough("shards", len(labels), K * per_client)
    cuts = np.array_split(np.argsort(labels, kind="stable"), K * per_client)
    order = generator(rng, "shards").permutation(K * per_client).reshape(K, per_client)
    return [np.sort(np.concatenate([cuts[s] for s in own])) for own in order]


def sized(n: int, shares: Any, rng: Any) -> Partition:
    """n rows in random order, so many for each client as its share says, but at least one. shares: (K,), above 0."""
    shares = np.asarray(shares, float)
    _enough("sized", n, len(shares))
    if not (np.isfinite(shares) & (shares > 0)).all():
        raise ValueError(f"sized: shares must be finite numbers above 0, got {shares.min()} to {shares.max()}")
    rest = np.rint(np.cumsum(shares)[:-1] / shares.sum() * (n - len(shares))).astype(int)
    cuts = rest + np.arange(1, len(shares))  # one each, and of the rest by shares
    return [np.sort(part) for part in np.split(generator(rng, "sized").permutation(n), cuts)]


def log_normal(n: int, K: int, sigma: float, rng: Any) -> Partition:
    """Unbalanced clients: sizes from a log-normal distribution, sigma the deviation of their logarithms.

    Source: fedavg:unbalanced
    """
    rng = generator(rng, "log_normal")
    if not sigma > 0:
        raise ValueError(f"log_normal: sigma must be above 0, got {sigma!r}")
    return sized(n, np.exp(sigma * rng.standard_normal(K)), rng)


def power_law(n: int, K: int, exponent: float, rng: Any) -> Partition:
    """Unbalanced clients: the k-th largest holds a share in proportion to k to the power of -exponent.

    Source: fedavg:unbalanced
    """
    rng = generator(rng, "power_law")
    if not exponent > 0:
        raise ValueError(f"power_law: exponent must be above 0, got {exponent!r}")
    return sized(n, rng.permutation(np.arange(1, K + 1) ** -float(exponent)), rng)


def dirichlet(labels: Any, K: int, alpha: float, rng: Any, least: int = 1, retries: int = 100) -> Partition:
    """Rows of each label dealt out by shares drawn from a Dirichlet distribution: small alpha, few labels a client.

    labels: integers (N,). alpha: above 0. It is drawn again until every client has at least `least` rows.
    Raises ValueError if that has not happened after so many retries.
    """
    labels, rng = np.asarray(labels), generator(rng, "dirichlet")
    _enough("dirichlet", len(labels), K * max(least, 1))
    if not alpha > 0:
        raise ValueError(f"dirichlet: alpha must be above 0, got {alpha!r}")
    for _ in range(retries):
        parts: list[list[np.ndarray]] = [[] for _ in range(K)]
        for label in np.unique(labels):
            rows = rng.permutation(np.flatnonzero(labels == label))
            cuts = (np.cumsum(rng.dirichlet(np.full(K, alpha)))[:-1] * len(rows)).astype(int)
            for own, part in zip(parts, np.split(rows, cuts)):
                own.append(part)
        found = [np.sort(np.concatenate(own)) for own in parts]
        if min(map(len, found)) >= least:
            return found
    raise ValueError(
        f"dirichlet: in {retries} draws with alpha = {alpha:g} some client of {K} had fewer than {least} rows; take a "
        "larger alpha, fewer clients or more retries"
    )


def by_key(keys: Sequence[Hashable], least: int = 1) -> dict[Hashable, np.ndarray]:
    """The rows of each key, in their order: {key: rows}, keys in the order of their first rows.

    least: keys with fewer rows are left out, and their rows with them. For speaking roles, authors, devices.
    Source: fedavg:shakespeare
    """
    rows: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return {key: np.array(own) for key, own in rows.items() if len(own) >= least}


def clients_of(x: Any, y: Any, partition: Any) -> list[Client]:
    """Clients with these rows of x and y. partition: a list of arrays of rows, or {id: rows}.

    An id is an int or a str; a key that is a tuple, such as (play, role), becomes one, its parts joined by colons.
    """
    named = partition.items() if isinstance(partition, dict) else enumerate(partition)
    return [Client(joined(id), x[rows], y[rows]) for id, rows in named]


def joined(key: Hashable) -> Any:
    """A key as the id of a client: the parts of a tuple joined by colons, anything else as it is."""
    return ":".join(map(str, key)) if isinstance(key, tuple) else key


def counts(labels: Any, partition: Partition, classes: int) -> np.ndarray:
    """How many rows of each label a client has: (K, classes)."""
    return np.stack([np.bincount(np.asarray(labels)[rows], minlength=classes) for rows in partition])


def plot_partition(labels: Any, partition: Partition, classes: int = 10, ax: Any = None) -> Any:
    """A bar for each client, as high as it has rows, parted by their labels; returns the axes.

    labels: integers in [0, classes), (N,).
    """
    from matplotlib import colormaps

    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6, 3), layout="constrained").subplots()
    table = counts(labels, partition, classes)
    below = np.cumsum(table, 1) - table
    colours = colormaps["tab10" if classes <= 10 else "viridis"].resampled(max(classes, 10))
    for label in range(classes):
        ax.bar(range(len(table)), table[:, label], 1.0, below[:, label], color=colours(label), label=str(label))
    ax.set(xlabel="client", ylabel="examples, by label", xlim=(-0.5, len(table) - 0.5))
    return ax


def _enough(caller: str, n: int, K: int) -> None:
    if K < 1 or n < K:
        raise ValueError(f"{caller}: {n} rows cannot be parted into {K}; at least one row each is needed")
