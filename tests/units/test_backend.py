"""Where arrays live: choosing an array module, moving arrays, and the sentences said when that cannot be done."""

import subprocess
import sys
import threading
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from support.standin import DeviceArray, standin

import minidl
from minidl import Tensor, backend, grad, ops
from minidl.backend import BackendError


@pytest.fixture
def fresh(monkeypatch):
    """As in a process that has not yet asked for CuPy."""
    monkeypatch.setattr(backend, "_LOADED", {"numpy": np, "standin": standin})
    monkeypatch.setattr(backend, "_MODULES", {np.ndarray: np, DeviceArray: standin})


def cupy(available):
    module = ModuleType("cupy")
    module.cuda = SimpleNamespace(is_available=lambda: available)
    module.ndarray = type("ndarray", (), {})
    return module


def test_cupy_that_is_not_installed_is_said_to_be_missing_and_how_to_get_it(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendError, match=r"'cupy' is not installed; .* minidl\[cuda12\] or minidl\[cuda13\]"):
        backend.load("cupy")


def test_cupy_without_a_device_is_said_to_lack_the_device(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy(available=False))
    with pytest.raises(BackendError, match="is installed but finds no CUDA device"), backend.use("cupy"):
        pass


def test_cupy_with_a_device_is_loaded_once_and_recognised_by_its_arrays(fresh, monkeypatch):
    module = cupy(available=True)
    monkeypatch.setitem(sys.modules, "cupy", module)
    with backend.use("cupy") as found:
        assert found is backend.current() is module
    assert backend.xp(module.ndarray()) is module
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert backend.load("cupy") is module


def test_an_unknown_name_is_refused_with_the_known_ones(fresh):
    with pytest.raises(ValueError, match=r"backend must be one of \['cupy', 'numpy', 'standin'\], got 'torch'"):
        backend.load("torch")


def test_the_default_is_numpy_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.delenv("MINIDL_BACKEND", raising=False)
    assert backend.name() == "numpy" and backend.current() is np
    monkeypatch.setenv("MINIDL_BACKEND", "standin")
    assert backend.name() == "standin" and backend.current() is standin
    with backend.use("numpy"):
        assert backend.current() is np
    monkeypatch.setenv("MINIDL_BACKEND", "")
    assert backend.name() == "numpy"
    monkeypatch.setenv("MINIDL_BACKEND", "abacus")
    with pytest.raises(ValueError, match="got 'abacus'"):
        backend.current()


def test_use_ends_with_its_block_even_when_an_error_leaves_it(monkeypatch):
    monkeypatch.delenv("MINIDL_BACKEND", raising=False)
    with pytest.raises(KeyError), backend.use("standin"):
        with backend.use("numpy"):
            assert backend.name() == "numpy"
        assert backend.name() == "standin"
        raise KeyError
    assert backend.name() == "numpy"


def test_use_holds_for_its_own_thread_only(monkeypatch):
    monkeypatch.delenv("MINIDL_BACKEND", raising=False)
    seen = []
    with backend.use("standin"):
        other = threading.Thread(target=lambda: seen.append(backend.name()))
        other.start()
        other.join()
    assert seen == ["numpy"]


def test_arrays_move_there_and_back_and_stay_where_they_are():
    a = np.arange(3.0)
    there = backend.to(a, "standin")
    assert isinstance(there, DeviceArray) and backend.xp(there) is standin
    assert backend.to(there, "standin") is there and backend.to(a, "numpy") is a
    for back in (backend.to(there, "numpy"), backend.to_numpy(there)):
        assert type(back) is np.ndarray
        np.testing.assert_array_equal(back, a)


def test_xp_follows_the_first_array_and_is_numpy_for_numbers():
    there = standin.ones(2)
    assert backend.xp(1.0, there) is backend.xp(there, 1.0) is standin
    assert backend.xp(1.0) is backend.xp(np.ones(2)) is backend.xp(np.float64(1)) is np


def mixtures():
    here, there = np.ones((2, 2)), standin.ones((2, 2))
    t = Tensor(there)
    yield "sum", lambda: t + Tensor(here)
    yield "constant factor", lambda: t * here
    yield "constant factor on the left", lambda: here * t
    yield "constant divisor", lambda: t / here
    yield "affine", lambda: ops.affine(t, here)
    yield "affine, NumPy first", lambda: ops.affine(Tensor(here), there)
    yield "convolution", lambda: ops.conv2d(Tensor(standin.ones((1, 1, 3, 3))), np.ones((1, 1, 2, 2)))
    yield "concat", lambda: ops.concat([t, here])
    yield "concat, NumPy first", lambda: ops.concat([here, t])
    yield "maximum", lambda: ops.maximum(t, here)
    yield "where", lambda: ops.where(here > 0, t, 0.0)
    yield "labels", lambda: ops.softmax_cross_entropy(t, np.array([0, 1]))
    yield "indices", lambda: t[np.array([0, 1])]
    yield "upstream", lambda: grad(t * 2, t, upstream=here)
    yield "backward", lambda: (t * 2).backward(here)


@pytest.mark.parametrize("call", [m[1] for m in mixtures()], ids=[m[0] for m in mixtures()])
def test_a_mixture_of_modules_is_refused_with_both_names_and_the_remedy(call):
    with pytest.raises(BackendError, match=r"got arrays of (numpy and standin|standin and numpy): move the model"):
        call()


def test_a_type_error_that_is_no_mixture_stays_what_it_is():
    with pytest.raises(TypeError) as error:
        ops.add(Tensor([1.0]), "text")
    assert not isinstance(error.value, BackendError)


def test_importing_minidl_imports_no_device_module():
    code = "import sys, minidl; sys.exit('cupy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert minidl.backend is backend


# The stand-in is worth only what it refuses


@pytest.mark.parametrize(
    "call",
    [
        lambda d: np.asarray(d), lambda d: np.exp(d), lambda d: np.ones(3) * d, lambda d: d + np.ones(3),
        lambda d: d[np.array([0])], lambda d: standin.maximum(d, np.ones(3)), lambda d: [1, 2, 3][d[0]],
        lambda d: np.concatenate([d, d]), lambda d: d.__setitem__(0, np.ones(())),
    ],
)  # fmt: skip
def test_the_standin_refuses_numpy(call):
    with pytest.raises(TypeError):
        call(standin.ones(3))


def test_the_standin_lacks_what_cupy_lacks_and_reduces_to_arrays():
    d = standin.ones(3)
    for holder, name in ((standin, "errstate"), (standin.random.default_rng(0), "normal"), (d, "__index__")):
        with pytest.raises(AttributeError):
            getattr(holder, name)
    for y in (d.sum(), d[0], standin.max(d), d @ d, standin.random.default_rng(0).random((2,)).mean()):
        assert type(y) is DeviceArray and y.shape == ()
    assert float(d.sum()) == 3.0 and bool((d == 1).all())
