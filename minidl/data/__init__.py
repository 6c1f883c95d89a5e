"""Data: the embedded digits, MNIST from its original files, UCI regressions, texts, and ways to split and cut them.

`minidl.data.registry` knows every data set by name. Arrays are NumPy's; nothing is read or imported before it is
asked for.
"""

from .embedded import digits, own_order_split, stratified_split
from .errors import DataError
from .idx import read_idx
from .original import Mnist, mnist
from .registry import DATASETS, DataSet
from .regressions import Regression, uci

__all__ = [
    "DATASETS",
    "DataError",
    "DataSet",
    "Mnist",
    "Regression",
    "digits",
    "mnist",
    "own_order_split",
    "read_idx",
    "stratified_split",
    "uci",
]
