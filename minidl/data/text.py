"""Text as ids: vocabularies of bytes, characters and words, and long texts cut for truncated backpropagation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Bytes", "Characters", "Streams", "Words", "padded", "streams", "topics"]

UNKNOWN = "\ufffd"  # what an unknown character is decoded to
TOKEN = re.compile(r"\w+|[^\w\s]")


def topics() -> dict[str, str]:
    """The help texts of the running Python, {topic: text}: real text that is always there, some eighty topics.

    From `pydoc_data.topics`, almost half a million characters. Each version of Python has its own: numbers that depend
    on them are not the same everywhere.
    """
    from pydoc_data.topics import topics as found

    return dict(found)


# ---- vocabularies ---------------------------------------------------------------------------------------------------


class Bytes:
    """The 256 bytes of a text in UTF-8, and two marks, `start` = 256 and `end` = 257: 258 ids, whatever the text.

    Nothing is unknown, and nothing is learned from a text. len(vocabulary): the number of ids.
    """

    start, end = 256, 257

    def encode(self, text: str, marks: bool = False) -> np.ndarray:
        """int64 (L,); marks: between `start` and `end`."""
        ids = np.frombuffer(_text(self, text).encode("utf-8"), np.uint8).astype(np.int64)
        return np.concatenate([[self.start], ids, [self.end]]) if marks else ids

    def decode(self, ids: Any) -> str:
        """The text without its marks; bytes that are no UTF-8 become U+FFFD. ValueError for ids that there are not."""
        ids = _ids(self, ids)
        return ids[ids < self.start].astype(np.uint8).tobytes().decode("utf-8", errors="replace")

    def __len__(self) -> int:
        return 258


class Characters:
    """The characters that occur in a text, in the order of their code points, and behind them one id for all others.

    text: what the vocabulary is taken from, the text that is trained on. len(vocabulary): the number of ids, `unknown`
    included, which is the last.
    Raises TypeError for what is no text, ValueError for one without characters.
    """

    def __init__(self, text: str):
        self._points = np.unique(_points(_text(self, text)))
        if not len(self._points):
            raise ValueError("Characters: text has no characters to take a vocabulary from")
        self.unknown = len(self._points)

    def encode(self, text: str) -> np.ndarray:
        """int64 (L,), an id for each character."""
        points = _points(_text(self, text))
        ids = np.searchsorted(self._points, points).clip(max=self.unknown - 1)
        return np.where(self._points[ids] == points, ids, self.unknown)

    def decode(self, ids: Any) -> str:
        """The text; `unknown` becomes U+FFFD. ValueError for ids that there are not."""
        points = np.append(self._points, np.uint32(ord(UNKNOWN)))[_ids(self, ids)]
        return points.astype("<u4").tobytes().decode("utf-32-le")

    def __len__(self) -> int:
        return self.unknown + 1


class Words:
    """The most frequent words of a text, the most frequent first, and behind them one id for all others.

    Words are runs of letters, digits and underscores, and every other character that is no white space. text: what the
    vocabulary is taken from. size: how many words at most; None: all. Equally frequent ones in the order in which they
    occur. len(vocabulary): the number of ids, `unknown` included, which is the last.
    Raises TypeError for what is no text, ValueError for a size below 1 or a text without words.
    """

    def __init__(self, text: str, size: int | None = None):
        if size is not None:
            _positive("Words", size=size)
        counted = Counter(TOKEN.findall(_text(self, text)))
        if not counted:
            raise ValueError("Words: text has no words to take a vocabulary from")
        self.words = [word for word, _ in counted.most_common(size)]
        self.unknown = len(self.words)
        self._id = {word: k for k, word in enumerate(self.words)}

    def encode(self, text: str) -> np.ndarray:
        """int64 (L,), an id for each word."""
        return np.array([self._id.get(word, self.unknown) for word in TOKEN.findall(_text(self, text))], np.int64)

    def decode(self, ids: Any) -> str:
        """The words with a blank between them; `unknown` becomes U+FFFD. ValueError for ids that there are not."""
        words = [*self.words, UNKNOWN]
        return " ".join(words[k] for k in _ids(self, ids))

    def __len__(self) -> int:
        return self.unknown + 1


def _text(vocabulary: object, text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{type(vocabulary).__name__}: text must be a str, got {type(text).__name__}")
    return text


def _points(text: str) -> np.ndarray:
    """The code points of a text."""
    return np.frombuffer(text.encode("utf-32-le"), "<u4")


def _ids(vocabulary: Bytes | Characters | Words, ids: Any) -> np.ndarray:
    ids = _row_of_ids(ids, type(vocabulary).__name__)
    if len(ids) and not 0 <= ids.min() <= ids.max() < len(vocabulary):
        raise ValueError(
            f"{type(vocabulary).__name__}: ids must lie in 0..{len(vocabulary) - 1}, got {ids.min()}..{ids.max()}"
        )
    return ids


def _positive(caller: str, **numbers: Any) -> None:
    for name, value in numbers.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{caller}: {name} must be an int of at least 1, got {value!r}")


def _row_of_ids(ids: Any, caller: str) -> np.ndarray:
    array = np.asarray(ids)
    array = array.astype(np.int64) if array.shape == (0,) else array
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{caller}: ids must be integers of shape (L,), got {array.dtype} of shape {array.shape}")
    return array


# ---- what comes next ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Streams:
    """A long text as B streams that are read side by side, `steps` ids at a time; made by `streams`.

    inputs, targets: int64 (B, S), the targets being the inputs one place on. Iterating gives the windows, (inputs,
    targets) of (B, steps) each, the last one perhaps shorter: row b of a window goes on where row b of the one before
    stopped, so a state can be carried over. len: the number of windows.
    """

    inputs: np.ndarray
    targets: np.ndarray
    steps: int

    def __len__(self) -> int:
        return -(-self.inputs.shape[1] // self.steps)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, self.inputs.shape[1], self.steps):
            window = slice(start, start + self.steps)
            yield self.inputs[:, window], self.targets[:, window]


def streams(ids: Any, batch: int, steps: int) -> Streams:
    """Cut a text into `batch` streams of equal length, one behind the other, to be read `steps` ids at a time.

    ids: integers (L,). Every id but the first is the target of one step, in order; what does not fill the streams, at
    most batch - 1 ids at the end, is left out.
    Raises TypeError or ValueError for ids that are no row of integers, for batch or steps below 1, and for a text of
    fewer than batch + 1 ids.
    """
    ids = _row_of_ids(ids, "streams")
    _positive("streams", batch=batch, steps=steps)
    if len(ids) < batch + 1:
        raise ValueError(f"streams: {batch} streams need at least {batch + 1} ids, got {len(ids)}")
    used = (len(ids) - 1) // batch * batch
    return Streams(ids[:used].reshape(batch, -1), ids[1 : used + 1].reshape(batch, -1), steps)


def padded(sequences: Iterable[Sequence[int] | np.ndarray], pad: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Separate sequences, such as lines, side by side: (inputs, targets, lengths), (N, T), (N, T) and (N,), int64.

    sequences: N rows of ids, of two ids or more. Targets are the inputs one place on; a row has lengths[n] of each, one
    less than its ids, and T is the largest. Behind them stands `pad`; layers are told `lengths`, and a loss has to
    leave out the places where np.arange(T) >= lengths[:, None].
    Raises ValueError for no sequences, for one of fewer than two ids, and for ids that are no integers.
    """
    rows = [_row_of_ids(row, "padded") for row in sequences]
    if not rows:
        raise ValueError("padded: got no sequences, expected at least one")
    lengths = np.array([len(row) - 1 for row in rows])
    if (short := int((lengths < 1).sum())) > 0:
        raise ValueError(f"padded: each sequence needs at least 2 ids, {short} of {len(rows)} have fewer")
    inputs, targets = (np.full((len(rows), lengths.max()), pad, np.int64) for _ in range(2))
    for n, row in enumerate(rows):
        inputs[n, : lengths[n]], targets[n, : lengths[n]] = row[:-1], row[1:]
    return inputs, targets, lengths
