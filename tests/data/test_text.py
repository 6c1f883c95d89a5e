"""Texts as ids and back, and texts cut up: every id is the target of one step, in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.data.text import Bytes, Characters, Streams, Words, padded, streams, topics

texts = st.text(max_size=60)


# --------------------------------------------------------------------------------------------------------- vocabularies


@given(text=texts)
def test_bytes_come_back_and_are_those_of_utf_8(text):
    vocabulary = Bytes()
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64 and ids.tolist() == list(text.encode())
    assert vocabulary.decode(ids) == text and len(vocabulary) == 258
    marked = vocabulary.encode(text, marks=True)
    assert marked.tolist() == [256, *ids, 257] and vocabulary.decode(marked) == text


@given(text=st.text(min_size=1, max_size=60), other=texts)
def test_characters_come_back_and_those_that_did_not_occur_are_unknown(text, other):
    vocabulary = Characters(text)
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int64 and vocabulary.decode(ids) == text
    assert len(vocabulary) == len(set(text)) + 1
    assert set(ids.tolist()) == set(range(len(vocabulary) - 1))  # every id but `unknown` is used
    new = vocabulary.encode(other)
    assert [k == vocabulary.unknown for k in new] == [c not in text for c in other]
    assert vocabulary.decode(new) == "".join(c if c in text else "\ufffd" for c in other)


@given(text=st.text("abc ,.\n", max_size=60), size=st.integers(1, 5))
def test_words_come_back_and_the_rare_ones_are_unknown(text, size):
    split = text.replace(",", " , ").replace(".", " . ").split()
    if not split:
        with pytest.raises(ValueError, match="Words: text has no words to take a vocabulary from"):
            Words(text)
        return
    vocabulary = Words(text)
    assert vocabulary.decode(vocabulary.encode(text)) == " ".join(split)
    assert len(vocabulary) == len(set(split)) + 1
    counts = [split.count(word) for word in vocabulary.words]
    assert counts == sorted(counts, reverse=True)
    few = Words(text, size)
    assert few.words == vocabulary.words[:size]
    assert few.decode(few.encode(text)) == " ".join(w if w in few.words else "\ufffd" for w in split)


def test_words_of_a_sentence():
    vocabulary = Words("The dog and the cat, it's 2.")
    assert vocabulary.words == ["The", "dog", "and", "the", "cat", ",", "it", "'", "s", "2", "."]


def test_bytes_that_are_no_characters_are_marked():
    assert Bytes().decode([0x61, 0xFF, 0x62]) == "a\ufffdb"


def test_there_is_always_a_text():
    found = topics()
    assert len(found) > 50 and all(isinstance(text, str) and text for text in found.values())
    assert sum(map(len, found.values())) > 200_000
    found.clear()
    assert topics()  # a copy: nobody else's is gone


@pytest.mark.parametrize(
    "call, error, sentence",
    [
        (lambda: Characters(""), ValueError, "Characters: text has no characters"),
        (lambda: Characters(b"abc"), TypeError, "Characters: text must be a str, got bytes"),
        (lambda: Characters("abc").encode(["a"]), TypeError, "Characters: text must be a str, got list"),
        (lambda: Characters("abc").decode([4]), ValueError, "Characters: ids must lie in 0..3, got 4..4"),
        (lambda: Characters("abc").decode([-1, 2]), ValueError, "Characters: ids must lie in 0..3, got -1..2"),
        (lambda: Characters("abc").decode([[1]]), ValueError, r"integers of shape \(L,\), got int64 of shape \(1, 1\)"),
        (lambda: Bytes().encode(3), TypeError, "Bytes: text must be a str, got int"),
        (lambda: Bytes().decode([258]), ValueError, "Bytes: ids must lie in 0..257, got 258..258"),
        (lambda: Bytes().decode([0.5]), ValueError, r"Bytes: ids must be integers of shape \(L,\), got float64"),
        (lambda: Words("a", 0), ValueError, "Words: size must be an int of at least 1, got 0"),
        (lambda: Words(None), TypeError, "Words: text must be a str, got NoneType"),
        (lambda: Words("a b").decode([3]), ValueError, "Words: ids must lie in 0..2, got 3..3"),
        (lambda: streams([0.5, 1], 1, 1), ValueError, r"streams: ids must be integers of shape \(L,\), got float64"),
        (lambda: streams([1, 2, 3], 0, 1), ValueError, "streams: batch must be an int of at least 1, got 0"),
        (lambda: streams([1, 2, 3], 1, 1.5), ValueError, "streams: steps must be an int of at least 1, got 1.5"),
        (lambda: streams([1, 2, 3], 3, 1), ValueError, "streams: 3 streams need at least 4 ids, got 3"),
        (lambda: padded([]), ValueError, "padded: got no sequences, expected at least one"),
        (lambda: padded([[1, 2], [1], []]), ValueError, "each sequence needs at least 2 ids, 2 of 3 have fewer"),
        (lambda: padded([["a", "b"]]), ValueError, r"padded: ids must be integers of shape \(L,\), got <U1"),
    ],
)
def test_bad_input_is_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


# -------------------------------------------------------------------------------------------------------- cutting texts


@given(length=st.integers(2, 200), batch=st.integers(1, 12), steps=st.integers(1, 40))
def test_every_id_but_the_first_is_a_target_once_and_in_order_and_streams_go_on(length, batch, steps):
    ids = np.arange(length) * 3 + 1  # each id says where it stands
    if length < batch + 1:
        return
    cut = streams(ids, batch, steps)
    windows = list(cut)
    assert len(windows) == len(cut) and isinstance(cut, Streams)
    for x, y in windows:
        assert x.shape == y.shape and x.shape[0] == batch and 1 <= x.shape[1] <= steps
        np.testing.assert_array_equal(y, x + 3)  # what comes next
    assert all(x.shape[1] == steps for x, _ in windows[:-1])
    for (before, _), (after, _) in zip(windows, windows[1:]):
        np.testing.assert_array_equal(after[:, 0], before[:, -1] + 3)  # each row goes on where it stopped
    targets = np.concatenate([y for _, y in windows], 1).reshape(-1)
    np.testing.assert_array_equal(targets, ids[1 : len(targets) + 1])
    assert length - 1 - len(targets) < batch


@given(lengths=st.lists(st.integers(2, 9), min_size=1, max_size=8), pad=st.integers(0, 5))
def test_padded_rows_hold_their_sequence_and_what_comes_next(lengths, pad):
    rows = [np.arange(n) + 100 * k + 10 for k, n in enumerate(lengths)]
    x, y, found = padded(rows, pad)
    assert x.dtype == y.dtype == found.dtype == np.int64
    assert x.shape == y.shape == (len(rows), max(lengths) - 1) and found.tolist() == [n - 1 for n in lengths]
    for n, row in enumerate(rows):
        assert x[n].tolist() == [*row[:-1], *[pad] * (x.shape[1] - len(row) + 1)]
        assert y[n].tolist() == [*row[1:], *[pad] * (x.shape[1] - len(row) + 1)]


def test_a_vocabulary_and_padded_lines():
    lines = ["To be", "or not to be"]
    x, y, lengths = padded([Bytes().encode(line, marks=True) for line in lines], pad=Bytes.end)
    assert Bytes().decode(x[0]) == Bytes().decode(y[0]) == lines[0]
    assert x[0, 0] == Bytes.start and y[1, lengths[1] - 1] == Bytes.end
