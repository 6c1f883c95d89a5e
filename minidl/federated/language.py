"""Text as clients: lines of those who speak or write, the first of them to learn from, the last to be tested on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from .. import losses
from ..data.text import Bytes, padded
from .client import Client
from .partition import iid

__all__ = ["NOTHING", "TextSplit", "by_speaker", "dealt_out", "lines_as_rows", "next_symbol_loss"]

NOTHING = -1  # the target of a place behind a line's end, which no loss and no accuracy counts


class TextSplit(NamedTuple):
    """Those who learn, an example being a line, and everybody's last lines as a test (x, y).

    train_symbols, test_symbols: how many there are in the lines themselves, without marks.
    """

    clients: list[Client]
    test: tuple[np.ndarray, np.ndarray]
    train_symbols: int
    test_symbols: int


def lines_as_rows(lines: Sequence[str], vocabulary: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lines as examples of what comes next: x and y, int16 or int32 (N, T), T the longest line and a mark.

    x starts with a mark where the vocabulary has one, y is x one place on and ends with the other; behind the end of a
    line x holds 0 and y holds NOTHING.
    Source: fedavg:char-lstm
    """
    marks = {"marks": True} if hasattr(vocabulary, "start") else {}
    x, y, lengths = padded([vocabulary.encode(line, **marks) for line in lines])
    y[np.arange(y.shape[1]) >= lengths[:, None]] = NOTHING
    small = np.int16 if len(vocabulary) < 2**15 else np.int32
    return x.astype(small), y.astype(small)


def by_speaker(
    lines: Mapping[Hashable, Sequence[str]], vocabulary: Any = None, share: float = 0.8, least: int = 2
) -> TextSplit:
    """A client for each key with at least `least` lines: the first `share` of its lines to learn, the rest for a test.

    lines: {(play, role): [line, ...]} in the order in which they were spoken, so that the test is later than what was
    learned; other keys, such as authors or topics, will do. At least one line of each is for the test. vocabulary: what
    turns text into ids, by default bytes with two marks. Ids of clients are the keys, joined by colons.
    Raises ValueError if nobody has enough lines.
    Source: fedavg:shakespeare
    """
    vocabulary = Bytes() if vocabulary is None else vocabulary
    clients, late = [], []
    learned = 0
    for key, own in lines.items():
        if len(own) < max(least, 2):
            continue
        kept = len(own) - max(1, ceil(round(len(own) * (1 - share), 9)))
        if kept < 1:
            continue
        name = ":".join(map(str, key)) if isinstance(key, tuple) else str(key)
        clients.append(Client(name, *lines_as_rows(own[:kept], vocabulary)))
        learned += sum(len(vocabulary.encode(line)) for line in own[:kept])
        late += own[kept:]
    if not clients:
        raise ValueError(f"by_speaker: nobody has {max(least, 2)} lines or more, got {len(lines)} keys")
    return TextSplit(clients, lines_as_rows(late, vocabulary), learned, sum(len(vocabulary.encode(s)) for s in late))


def dealt_out(split: TextSplit, rng: Any) -> TextSplit:
    """The same lines to learn and to test, but the former dealt out at random to as many clients: balanced, and IID.

    Source: fedavg:shakespeare
    """
    width = max(client.x.shape[1] for client in split.clients)

    def together(name: str, behind: int) -> np.ndarray:
        arrays = [getattr(client, name) for client in split.clients]
        return np.concatenate(
            [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=behind) for a in arrays]
        )  # fmt: skip

    x, y = together("x", 0), together("y", NOTHING)
    clients = []
    for k, rows in enumerate(iid(len(x), len(split.clients), rng)):
        longest = int((y[rows] != NOTHING).sum(1).max())
        clients.append(Client(k, x[rows, :longest], y[rows, :longest]))
    return split._replace(clients=clients)


def next_symbol_loss(logits: Any, y: Any) -> Any:
    """Mean of minus the log probability of each next symbol, in nats, over the places that count: y other than NOTHING.

    logits: (N, T, C). y: integers (N, T).
    """
    return losses.cross_entropy(logits, y, ignore=NOTHING)
