import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import standin  # noqa: F401 - makes the stand-in backend known
from support.training import assert_same_bits
from threadpoolctl import threadpool_info, threadpool_limits

from minidl import Tensor, losses, nn, ops, optim, train

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)


def network(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Dense(4, 16, rng=rng), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Dense(16, 2, rng=rng)
    )


def run(checkpoint=None, loss=losses.cross_entropy, epochs=5, model=None, lr=0.01, **changes):
    model = model or network()
    optimiser = optim.Adam(model.parameters(), lr=lr)
    arguments = dict(data=(X, Y), batch_size=16, seed=3, validation=(X[:20], Y[:20]), progress=False) | changes
    history = train.fit(model, loss, epochs=epochs, optimiser=optimiser, checkpoint=checkpoint, **arguments)
    return model, optimiser, history


@pytest.fixture(scope="module")
def uninterrupted():
    return run()


def test_it_learns_and_keeps_a_history(uninterrupted):
    model, optimiser, history = uninterrupted
    assert history.epochs == 5 and optimiser.steps == 20
    assert history.train_loss[-1] < history.train_loss[0] and history.lr == [0.01] * 5
    assert {len(v) for v in history.as_dict().values()} == {5}
    assert json.loads(json.dumps(history.as_dict())) == history.as_dict()
    assert not model.training
    z = model(X[:20]).data
    assert history.validation_accuracy[-1] == (z.argmax(1) == Y[:20]).mean()
    assert np.isclose(history.validation_loss[-1], losses.cross_entropy(Tensor(z), Y[:20]).item(), rtol=1e-6)
    longer = run(epochs=40)[2]
    assert longer.validation_accuracy[-1] > 0.85


def test_the_seed_decides_everything(uninterrupted):
    assert_same_bits(run(), uninterrupted)
    other = run(seed=4)[2]
    assert other.train_loss != uninterrupted[2].train_loss


class Killed(Exception):
    pass


def failing_loss(at, error=Killed):
    calls = [0]

    def cross_entropy(output, labels):
        calls[0] += 1
        if calls[0] == at:
            raise error
        return losses.cross_entropy(output, labels)

    cross_entropy.__qualname__ = losses.cross_entropy.__qualname__
    return cross_entropy


@pytest.mark.parametrize("at", [3, 6, 13])  # before the first checkpoint, at the start of an epoch, within one
def test_an_interrupted_run_continues_with_the_same_bits(tmp_path, at, uninterrupted):
    path = tmp_path / "run.npz"
    with pytest.raises(Killed):
        run(path, failing_loss(at))
    assert path.exists() == (at > 5)
    assert_same_bits(run(path), uninterrupted)
    assert os.listdir(tmp_path) == ["run.npz"]


def test_a_model_that_is_half_trained_continues_too(tmp_path, uninterrupted):
    model = network()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run.npz", failing_loss(13, KeyboardInterrupt), model=model)
    assert_same_bits(run(tmp_path / "run.npz", model=model), uninterrupted)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")
def test_a_killed_process_continues_with_the_same_bits(tmp_path, uninterrupted):
    script = (
        "import os, signal, sys; sys.path[:0] = sys.argv[1:3]; import test_train as t\n"
        "class Kill(Exception):\n"
        "    def __init__(self): os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.run(sys.argv[3], t.failing_loss(13, Kill))"
    )
    path = tmp_path / "run.npz"
    here = Path(__file__).parent
    command = [sys.executable, "-c", script, here, here.parent, path]
    done = subprocess.run(command, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL and path.exists()
    assert_same_bits(run(path), uninterrupted)


def test_more_epochs_extend_a_run_and_a_finished_one_only_loads(tmp_path, uninterrupted):
    path = tmp_path / "run.npz"
    run(path, epochs=2)
    assert_same_bits(run(path), uninterrupted)
    assert_same_bits(run(path, failing_loss(1)), uninterrupted)
    with pytest.raises(ValueError, match="already holds 5 epochs, more than epochs=4"):
        run(path, epochs=4)


@pytest.mark.parametrize(
    "changes, name",
    [
        (dict(batch_size=10), "batch_size was 16, now it is 10"),
        (dict(seed=4), "seed was 3, now it is 4"),
        (dict(lr=0.02), r"optimiser was Adam\(lr=0.01, .* now it is Adam\(lr=0.02"),
        (dict(data=(X + 1, Y)), "data was"),
        (dict(data=(X, 1 - Y)), "data was"),
        (dict(validation=None), "validation was"),
        (dict(model=nn.Sequential(nn.Dense(4, 2))), "model was Sequential"),
        (dict(loss=lambda y, t: losses.cross_entropy(y, t)), "loss was cross_entropy, now it is .*lambda"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, changes, name):
    path = tmp_path / "run.npz"
    run(path, epochs=1)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"run.npz is the checkpoint of another run: {name}"):
        run(path, **changes)
    assert path.read_bytes() == before


def test_what_is_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(ValueError, match="text.npz is not a readable .npz file"):
        run(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(1))
    with pytest.raises(ValueError, match="other.npz is not a checkpoint of fit"):
        run(tmp_path / "other.npz")


def test_every_row_is_seen_once_an_epoch_in_a_new_order():
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            self.W = Tensor(np.ones(1, np.float32))

        def forward(self, x, rng=None):
            if rng is not None:
                seen.append(x[:, 0].tolist())
            return x * self.W

    x = np.arange(10, dtype=np.float32)[:, None]
    train.fit(m := Watching(), losses.mse, (x, x), 2, 4, optim.SGD(m.parameters(), 0.0), seed=0, progress=False)
    assert [len(b) for b in seen] == [4, 4, 2] * 2
    first, second = sum(seen[:3], []), sum(seen[3:], [])
    assert sorted(first) == sorted(second) == x[:, 0].tolist() and first != second != x[:, 0].tolist()


def test_full_batch_descent_is_gradient_descent():
    model = nn.Sequential(nn.Dense(4, 1, rng=0, dtype="float64"))
    x, t = X.astype(np.float64), RNG.normal(size=(60, 1))
    W, b = model[0].W.data.copy(), np.zeros(1)
    for _ in range(3):
        g = (x @ W + b - t) / 60
        W, b = W - 0.1 * x.T @ g, b - 0.1 * g.sum(0)
    train.fit(model, losses.euclidean, (x, t), 3, 100, optim.SGD(model.parameters(), 0.1), seed=0, progress=False)
    assert np.allclose(model[0].W.data, W, atol=1e-14) and np.allclose(model[0].b.data, b, atol=1e-14)


def test_data_is_brought_to_the_type_of_the_model():
    model = nn.Sequential(nn.Dense(4, 1, rng=0))
    types = []

    def loss(y, t):
        types.append((y.dtype, t.dtype))
        return losses.mse(y, t)

    data = (X.astype(np.float64), RNG.normal(size=(60, 1)))
    h = train.fit(model, loss, data, 1, 60, optim.SGD(model.parameters(), 0.1), 0, validation=data, progress=False)
    assert set(types) == {(np.dtype("float32"),) * 2}
    assert h.validation_accuracy == [] and len(h.validation_loss) == 1


def test_labels_of_each_step_have_an_accuracy_too():
    class Steps(nn.Module):
        def __init__(self):
            self.table = nn.Embedding(3, 3, rng=0)

        def forward(self, x, rng=None):
            return self.table(x, rng)

    x = RNG.integers(0, 3, (20, 5))
    m = Steps()
    h = train.fit(
        m, losses.cross_entropy, (x, x), 5, 5, optim.Adam(m.parameters(), 0.3), 0, validation=(x, x), progress=False
    )
    assert h.validation_accuracy[-1] == 1


def test_evaluation_works_in_batches_and_restores_modes(monkeypatch):
    model = network()
    model[1].eval()
    whole = train.evaluate(model, losses.cross_entropy, X, Y)
    assert model.training and not model[1].training
    monkeypatch.setattr(train, "ROWS", 7)
    parts = train.evaluate(model, losses.cross_entropy, X, Y)
    assert np.isclose(whole[0], parts[0], rtol=1e-6) and whole[1] == parts[1]


def test_the_training_loss_is_a_mean_over_rows_not_over_batches():
    model = nn.Sequential(nn.Dense(4, 2, rng=0))
    expected = losses.cross_entropy(model(X[:17]), Y[:17]).item()
    h = train.fit(
        model, losses.cross_entropy, (X[:17], Y[:17]), 1, 16, optim.SGD(model.parameters(), 0.0), 0, progress=False
    )
    assert np.isclose(h.train_loss[0], expected, rtol=1e-5)


def test_another_array_module_trains_to_the_same_bits(tmp_path, uninterrupted):
    on_device = run(tmp_path / "run.npz", model=network().to("standin"))
    assert_same_bits(on_device, uninterrupted)
    assert_same_bits(run(tmp_path / "run.npz", model=network()), uninterrupted)


def test_one_blas_thread_while_it_runs():
    seen = set()

    def loss(y, t):
        seen.update(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")
        return losses.cross_entropy(y, t)

    with threadpool_limits(2, "blas"):
        run(loss=loss, epochs=1)
    assert seen == {1}


def test_the_bar_is_shown_on_request_only(capsys):
    run(epochs=1)
    assert capsys.readouterr() == ("", "")
    run(epochs=1, progress=True)
    assert "4/4" in capsys.readouterr().err


def bad(a, index, value):
    a = a.copy()
    a[index] = value
    return a


@pytest.mark.parametrize(
    "changes, error, sentence",
    [
        (dict(data=(bad(X, (3, 1), np.nan), Y)), ValueError, "fit: x of data holds NaN or infinite values"),
        (dict(data=(X, X * np.inf)), ValueError, "fit: y of data holds NaN or infinite values"),
        (dict(validation=(bad(X, 0, -np.inf), Y)), ValueError, "fit: x of validation holds NaN or infinite values"),
        (dict(data=(X, Y[:-1])), ValueError, "the same number of rows, got 60, 59"),
        (dict(data=(X[:0], Y[:0])), ValueError, "the same number of rows, got 0, 0"),
        (dict(data=X), TypeError, "fit: data must be a pair of arrays (x, y), got ndarray"),
        (dict(data=(X, list(Y))), TypeError, "fit: y of data must be an array of numbers, got list"),
        (dict(batch_size=0), ValueError, "fit: batch_size must be an int >= 1, got 0"),
        (dict(epochs=-1), ValueError, "fit: epochs must be an int >= 0, got -1"),
        (dict(seed=None), ValueError, "fit: seed must be an int >= 0, got None"),
        (dict(loss=lambda y, t: y), TypeError, "fit: loss must return a Tensor of one number, got (16, 2)"),
        (dict(lr=1e30), FloatingPointError, "fit: the loss became"),
        (dict(loss=lambda y, t: ops.log(-abs(y).sum())), FloatingPointError, "the loss became nan in epoch 0, step 0"),
    ],
)
def test_bad_arguments_are_refused(changes, error, sentence):
    with np.errstate(all="ignore"), pytest.raises(error) as found:
        run(**changes)
    assert sentence in str(found.value)


def test_the_optimiser_must_hold_the_parameters_of_the_model():
    with pytest.raises(ValueError, match="optimiser holds tensors that are no parameters of the model"):
        train.fit(network(), losses.mse, (X, Y), 1, 8, optim.SGD(network().parameters(), 0.1), 0)
    with pytest.raises(TypeError, match="optimiser must be an Optimiser such as optim.SGD, got str"):
        train.fit(network(), losses.mse, (X, Y), 1, 8, "sgd", 0)
