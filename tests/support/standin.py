"""A strict stand-in for CuPy: NumPy behind a wall, so that code for a device can be tested without one.

It refuses what CuPy refuses: implicit conversion to NumPy, NumPy arrays among its operands and indices, arrays as
integers. It lacks what CuPy lacks: `errstate`, most of Generator. Reductions give arrays of no axes, not scalars.
Numbers are computed by NumPy, so every result must equal NumPy's to the last bit.
"""

import numpy as np

from minidl import backend

LACKS = {"errstate", "seterr", "vectorize", "nditer", "array2string", "float_power", "fromiter", "ma", "testing"}
CONVERTS = {"asarray", "array"}  # the ways in
RANDOM = {
    "random", "standard_normal", "integers", "uniform", "standard_exponential", "gamma", "standard_gamma", "beta",
    "binomial", "chisquare", "dirichlet", "exponential", "f", "geometric", "hypergeometric", "logseries", "poisson",
    "power", "zipf",
}  # fmt: skip
OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor".split()


def unwrap(value):
    """The NumPy array behind a device array, also inside tuples, lists and dicts; a NumPy array is refused."""
    if isinstance(value, DeviceArray):
        return value.hidden
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (tuple, list)):
        return type(value)(map(unwrap, value))
    if isinstance(value, dict):
        return {k: unwrap(v) for k, v in value.items()}
    return value


def wrap(value):
    """A device array around what NumPy returned: around scalars too."""
    if isinstance(value, (np.ndarray, np.generic)):
        return DeviceArray(np.asarray(value))
    if isinstance(value, tuple):  # also those that have names, such as eigenvalues and eigenvectors
        return tuple(map(wrap, value))
    return list(map(wrap, value)) if isinstance(value, list) else value


class DeviceArray:
    """An array on a device that does not exist."""

    __array_ufunc__ = None  # a NumPy scalar or array on the left leaves the operation to us

    def __init__(self, hidden):
        self.hidden = hidden

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(f"'ndarray' object has no attribute {name!r}")
        found = getattr(self.hidden, name)
        return Function(found, name) if callable(found) else found

    def __array__(self, *_, **__):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    dtype = property(lambda self: self.hidden.dtype)
    T = property(lambda self: wrap(self.hidden.T))
    base = property(lambda self: self.hidden if self.hidden.base is None else self.hidden.base)  # the block of memory

    def get(self):
        return self.hidden.copy()

    def item(self):
        return self.hidden.item()

    def __getitem__(self, index):
        return wrap(self.hidden[unwrap(index)])

    def __setitem__(self, index, value):
        self.hidden[unwrap(index)] = unwrap(value)

    def __len__(self):
        return len(self.hidden)

    def __iter__(self):
        return (self[k] for k in range(len(self)))

    def __repr__(self):
        return repr(self.hidden)

    def __deepcopy__(self, memo):
        return wrap(self.hidden.copy())

    __bool__ = lambda self: bool(self.hidden)
    __float__ = lambda self: float(self.hidden)
    __int__ = lambda self: int(self.hidden)
    __neg__ = lambda self: wrap(-self.hidden)
    __abs__ = lambda self: wrap(abs(self.hidden))
    __invert__ = lambda self: wrap(~self.hidden)
    __hash__ = None


def _binary(name):
    def operate(self, other):
        if getattr(other, "__array_ufunc__", other) is None and not isinstance(other, DeviceArray):
            return NotImplemented  # a Tensor knows better
        found = getattr(self.hidden, name)(unwrap(other))
        return found if found is NotImplemented else wrap(found)

    return operate


def _in_place(name):
    def operate(self, other):
        getattr(self.hidden, name)(unwrap(other))
        return self

    return operate


for _o in OPERATORS:
    setattr(DeviceArray, f"__{_o}__", _binary(f"__{_o}__"))
    setattr(DeviceArray, f"__r{_o}__", _binary(f"__r{_o}__"))
    setattr(DeviceArray, f"__i{_o}__", _in_place(f"__i{_o}__"))
for _o in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(DeviceArray, f"__{_o}__", _binary(f"__{_o}__"))


class Function:
    """A NumPy function or method that takes and gives device arrays only."""

    def __init__(self, function, name):
        self.function, self.name = function, name

    def __call__(self, *args, **kwargs):
        if self.name not in CONVERTS:
            args, kwargs = unwrap(args), unwrap(kwargs)
        elif isinstance(args[0], DeviceArray):
            args = (args[0].hidden, *args[1:])
        return wrap(self.function(*args, **kwargs))

    def at(self, array, index, value):
        """`add.at` and its like."""
        self.function.at(*unwrap((array, index, value)))


class Module:
    """A NumPy module with every function behind the wall."""

    ndarray = DeviceArray

    def __init__(self, module, name):
        self.module, self.__name__ = module, name

    def __getattr__(self, name):
        if name in LACKS or name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(self.module, name)
        if isinstance(found, type(np)):
            return Module(found, f"{self.__name__}.{name}")
        if isinstance(found, type) or not callable(found):
            return found
        return Generator if name == "default_rng" else Function(found, name)

    def asnumpy(self, array):
        return array.get() if isinstance(array, DeviceArray) else np.asarray(array)


class Generator:
    """CuPy's Generator: the few distributions that it has."""

    def __init__(self, seed=None):
        self.rng = np.random.default_rng(seed)

    def __getattr__(self, name):
        if name not in RANDOM:
            raise AttributeError(f"'Generator' object has no attribute {name!r}")
        return Function(getattr(self.rng, name), name)


standin = Module(np, "standin")
backend.register("standin", standin, DeviceArray)
