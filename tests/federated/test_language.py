"""Lines as examples: marks, what does not count, the split in time, and the balanced form of it."""

import numpy as np
import pytest

from minidl import Tensor, losses, nn, train
from minidl.data.text import Bytes, Characters, Words
from minidl.federated import fedavg, models
from minidl.federated.language import NOTHING, by_author, by_speaker, dealt_out, lines_as_rows, next_symbol_loss

LINES = {
    ("play", "A"): ["one", "two", "three", "four", "five!"],
    ("play", "B"): ["alone"],
    ("other", "A"): ["to be", "or not"],
}


@pytest.mark.source("fedavg:char-lstm")
def test_a_line_stands_between_its_marks_and_its_targets_are_one_place_on():
    x, y = lines_as_rows(["ab", "c"], Bytes())
    np.testing.assert_array_equal(x, [[256, 97, 98], [256, 99, 0]])
    np.testing.assert_array_equal(y, [[97, 98, 257], [99, 257, NOTHING]])
    x, y = lines_as_rows(["abc", "ca"], Characters("abc"))
    np.testing.assert_array_equal(x, [[0, 1], [2, 0]])
    np.testing.assert_array_equal(y, [[1, 2], [0, NOTHING]])


@pytest.mark.source("fedavg:shakespeare")
def test_the_last_fifth_of_each_roles_lines_is_for_the_test_and_at_least_one():
    split = by_speaker(LINES)
    assert [client.id for client in split.clients] == ["play:A", "other:A"]
    assert [len(client) for client in split.clients] == [4, 1]
    decoded = [Bytes().decode(row[row != NOTHING]) for row in split.test[1]]
    assert decoded == ["five!", "or not"]
    assert split.train_symbols == len("onetwothreefour" + "to be") and split.test_symbols == len("five!" + "or not")
    ten = by_speaker({"x": ["line"] * 10})
    assert len(ten.clients[0]) == 8 and len(ten.test[0]) == 2
    with pytest.raises(ValueError, match="nobody has 2 lines or more, got 1 keys"):
        by_speaker({"x": ["one"]})


@pytest.mark.source("fedavg:shakespeare")
def test_the_balanced_form_has_the_same_lines_on_as_many_clients():
    split = by_speaker({k: [f"{k} says {i} times {'ha' * (i % 4)}" for i in range(3 + 4 * k)] for k in range(6)})
    even = dealt_out(split, 0)
    sizes = [len(client) for client in even.clients]
    assert len(sizes) == len(split.clients) and max(sizes) - min(sizes) <= 1

    def lines(clients):
        return sorted(Bytes().decode(row[row != NOTHING]) for client in clients for row in client.y)

    assert lines(even.clients) == lines(split.clients)
    assert even.test is split.test


def test_places_behind_the_end_count_for_neither_loss_nor_accuracy():
    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(3, 4, 5)), rng.integers(0, 5, (3, 4))
    y[0, 2:] = y[2, 1:] = NOTHING
    kept = y != NOTHING
    expected = losses.cross_entropy(Tensor(logits[kept]), y[kept]).item()
    assert next_symbol_loss(Tensor(logits), y).item() == pytest.approx(expected, rel=1e-12)

    class Given(nn.Module):
        def forward(self, x, rng=None):
            return Tensor(logits[x])

    loss, accuracy = train.evaluate(Given(), next_symbol_loss, np.arange(3), y)
    assert loss == pytest.approx(expected) and accuracy == (logits.argmax(-1)[kept] == y[kept]).mean()
    with pytest.raises(ValueError, match="all labels are -1, which is to be ignored"):
        next_symbol_loss(Tensor(logits), np.full_like(y, NOTHING))
    with pytest.raises(ValueError, match="labels must lie in 0..4"):
        losses.cross_entropy(Tensor(logits), y)


def test_a_small_character_model_learns_its_clients_lines():
    split = by_speaker({k: ["abcabcabc"] * 6 for k in range(4)})
    result = fedavg(
        models.char_lstm(units=16), split.clients, rounds=20, C=1.0, E=4, B=2, lr=2.0, seed=0, test=split.test,
        loss=next_symbol_loss, progress=False,
    )  # fmt: skip
    assert result.history["accuracy"][-1] > 0.8 > result.history["accuracy"][0]


@pytest.mark.source("fedavg:word-data")
def test_words_of_an_author_are_a_client_and_the_test_is_by_others():
    texts = {f"author {k}": " ".join(f"w{(k + i) % 7}" for i in range(12 + 5 * k)) for k in range(10)}
    vocabulary = Words(" ".join(texts.values()), 5)
    split = by_author(texts, vocabulary, unroll=10, limit=30, tested=0.2, rng=0)
    assert len(split.clients) == 8
    learning = {client.id for client in split.clients}
    for client in split.clients:
        ids = vocabulary.encode(texts[client.id])[:30]
        counted = client.y != NOTHING
        np.testing.assert_array_equal(client.x[counted], ids[:-1])
        np.testing.assert_array_equal(client.y[counted], ids[1:])
        assert client.x.shape[1] == 10
    others = np.concatenate([vocabulary.encode(t)[:30][1:] for a, t in texts.items() if a not in learning])
    np.testing.assert_array_equal(split.test[1][split.test[1] != NOTHING], others)
    assert split.train_symbols + split.test_symbols == sum(min(30, 12 + 5 * k) for k in range(10))
    with pytest.raises(ValueError, match="two authors of two words or more are needed, got 1"):
        by_author({"a": "one two", "b": "one"}, vocabulary)


@pytest.mark.parametrize("make", [models.char_lstm, models.word_lstm])
def test_every_type_of_symbol_starts_with_numbers_of_deviation_one(make):
    W = make(300, units=4, rng=3).embedding.W.data
    assert abs(W.mean()) < 4 / W.size**0.5 and abs(W.var() - 1) < 4 * (2 / W.size) ** 0.5
    assert W.dtype == np.float32 and (W != make(300, units=4, rng=4).embedding.W.data).all()


@pytest.mark.source("fedavg:cifar-cnn")
def test_a_small_network_for_colour_images_is_the_large_one_with_fewer_kernels():
    model = models.cifar_cnn(4, (16, 8))
    x = np.random.default_rng(0).random((2, 3, 32, 32), np.float32)
    assert model(x).shape == (2, 10)
    convolutions = (3 * 25 + 1) * 4 + (4 * 25 + 1) * 4
    assert sum(p.size for p in model.parameters().values()) == convolutions + (36 * 4 + 1) * 16 + 17 * 8 + 9 * 10
    assert [type(layer) for layer in model] == [type(layer) for layer in models.cifar_cnn()]
