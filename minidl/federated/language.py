"""Text as clients: lines of those who speak or write, the first of them to learn from, the last to be tested on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from .. import losses
from ..data.text import Bytes, padded
from ..randomness import generator
from .client import Client
from .partition import iid, joined

__all__ = ["NOTHING", "TextSplit", "by_author", "by_speaker", "dealt_out", "lines_as_rows", "next_symbol_loss"]

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
    x, y = _next([vocabulary.encode(line, **marks) for line in lines])
    small = np.int16 if len(vocabulary) < 2**15 else np.int32
    return x.astype(small), y.astype(small)


def _next(sequences: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids and what comes next at each place, NOTHING behind the end of a row."""
    x, y, lengths = padded(sequences)
    y[np.arange(y.shape[1]) >= lengths[:, None]] = NOTHING
    return x, y


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
        clients.append(Client(str(joined(key)), *lines_as_rows(own[:kept], vocabulary)))
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


def by_author(
    texts: Mapping[Hashable, str],
    vocabulary: Any,
    unroll: int = 10,
    limit: int = 5000,
    tested: float = 0.1,
    rng: Any = 0,
) -> TextSplit:
    """A client for each author, of at most `limit` words; the test is what other authors wrote.

    texts: {author: text}, such as all posts of one person. vocabulary: what turns text into ids, for the text's own
    setting the 10,000 most frequent words. unroll: words that the network sees in a row; an example is so many of them,
    each to be told from those before it. tested: the share of authors who do not learn, drawn at random, at least one.
    Authors of fewer than two words are left out. The posts of the text are not public: this is for those one has.
    Raises ValueError for fewer than two authors who wrote enough.
    Source: fedavg:word-data
    """
    written = {author: ids for author, t in texts.items() if len(ids := vocabulary.encode(t)[:limit]) > 1}
    if len(written) < 2:
        raise ValueError(f"by_author: two authors of two words or more are needed, got {len(written)}")
    authors = list(written)
    held = max(1, round(tested * len(authors)))
    others = set(generator(rng, "by_author").choice(len(authors), held, replace=False).tolist())

    def rows(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        windows = [ids[i : i + unroll + 1] for i in range(0, len(ids) - 1, unroll)]
        x, y = _next(windows)
        return np.pad(x, ((0, 0), (0, unroll - x.shape[1]))), np.pad(
            y, ((0, 0), (0, unroll - y.shape[1])), constant_values=NOTHING
        )

    clients = [Client(str(a), *rows(written[a])) for k, a in enumerate(authors) if k not in others]
    test = [rows(written[a]) for k, a in enumerate(authors) if k in others]
    x, y = (np.concatenate(parts) for parts in zip(*test))
    learned = sum(len(ids) for k, ids in enumerate(written.values()) if k not in others)
    return TextSplit(clients, (x, y), learned, sum(map(len, written.values())) - learned)


def next_symbol_loss(logits: Any, y: Any) -> Any:
    """Mean of minus the log probability of each next symbol, in nats, over the places that count: y other than NOTHING.

    logits: (N, T, C). y: integers (N, T).
    """
    return losses.cross_entropy(logits, y, ignore=NOTHING)
