"""The embedded digits are the ones they should be; the two splits."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.data import DataError, digits, embedded, own_order_split, stratified_split

IMAGES = "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
LABELS = "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"


def test_the_digits_are_the_original_ones():
    images, labels = digits()
    assert images.dtype == np.float32 and images.shape == (1797, 1, 8, 8)
    assert labels.dtype == np.int64 and labels.shape == (1797,)
    counts = images[:, 0] * 16
    assert hashlib.sha256(counts.astype(np.uint8).tobytes()).hexdigest() == IMAGES
    assert np.array_equal(counts, np.round(counts)) and images.min() == 0 and images.max() == 1
    assert hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest() == LABELS


def test_the_note_beside_the_file_has_the_same_checksums():
    note = (embedded.FILE.parent / "README.md").read_text(encoding="utf-8")
    assert IMAGES in note and LABELS in note and "CC BY 4.0" in note


@pytest.mark.peers
def test_the_digits_equal_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = digits()
    assert np.array_equal(images[:, 0] * 16, theirs.images)
    assert np.array_equal(labels, theirs.target)


@pytest.mark.parametrize("content", [None, b"", b"not a zip file", "empty"])
def test_a_damaged_installation(tmp_path, monkeypatch, content):
    monkeypatch.setattr(embedded, "FILE", tmp_path / "digits.npz")
    if content == "empty":
        np.savez(embedded.FILE, other=np.zeros(3))
    elif content is not None:
        embedded.FILE.write_bytes(content)
    with pytest.raises(DataError, match=r"digits\.npz: cannot be read .*; reinstall minidl$"):
        digits()


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.floats(0.05, 0.95), st.integers(0, 9))
def test_a_stratified_split_takes_the_same_share_of_every_class(labels, fraction, seed):
    labels = np.array(labels)
    total = round(fraction * len(labels))
    if not 0 < total < len(labels):
        with pytest.raises(ValueError, match="leaves one side empty"):
            stratified_split(labels, fraction, seed)
        return
    kept, held_out = stratified_split(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(len(labels)))
    assert len(held_out) == total
    assert np.all(np.diff(kept) > 0) and np.all(np.diff(held_out) > 0)
    sizes = np.bincount(labels, minlength=5)
    share = np.bincount(labels[held_out], minlength=5) - sizes * total / len(labels)
    assert np.all(np.abs(share) < 1)


def test_what_rounding_leaves_over_goes_to_the_largest_remainder():
    labels = np.array([0] * 9 + [1])  # a fifth is 1.8 and 0.2 rows
    assert labels[stratified_split(labels, 0.2, 0)[1]].tolist() == [0, 0]


def test_a_stratified_split_follows_its_rng():
    labels = np.repeat(np.arange(3), 30)
    one, two, other = (stratified_split(labels, 0.2, rng)[1] for rng in (5, np.random.default_rng(5), 6))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_every_row_of_a_class_can_be_drawn():
    labels = np.zeros(10, dtype=int)
    seen = {int(i) for seed in range(60) for i in stratified_split(labels, 0.1, seed)[1]}
    assert seen == set(range(10))


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5, float("nan")])
def test_a_fraction_outside_the_interval(fraction):
    with pytest.raises(ValueError, match="fraction: got .*, expected a number between 0 and 1"):
        stratified_split(np.arange(10) % 2, fraction, 0)
    with pytest.raises(ValueError, match="fraction: got .*, expected a number between 0 and 1"):
        own_order_split(10, fraction)


@pytest.mark.parametrize("labels", [np.zeros((4, 2), dtype=int), np.linspace(0, 1, 8)])
def test_labels_that_are_none(labels):
    with pytest.raises(ValueError, match=r"labels: got .*, expected integers of shape \(N,\)"):
        stratified_split(labels, 0.5, 0)


@pytest.mark.parametrize("rng", [None, True, "0", 1.0])
def test_randomness_must_be_given(rng):
    with pytest.raises(TypeError, match="rng: got .*, expected a numpy Generator or an int"):
        stratified_split(np.arange(10) % 2, 0.5, rng)


def test_the_own_order_is_cut_in_two():
    kept, held_out = own_order_split(1797)
    assert kept[0] == 0 and kept[-1] + 1 == held_out[0] and held_out[-1] == 1796
    assert len(held_out) == 449
    assert [len(part) for part in own_order_split(10, 0.3)] == [7, 3]
