"""Layers: functions with parameters, whose operations carry the three passes."""

from .activations import ELU, Flatten, PReLU, ReLU, Sigmoid, Softmax, Tanh
from .distort import DistortedImages
from .embedding import Embedding
from .folding import fold, folded
from .layers import Conv1d, Conv2d, Dense
from .module import Module
from .noise import AdditiveNoise, DropConnect, Dropout, GaussianDropout
from .normalise import BatchNorm1d, BatchNorm2d
from .pooling import AvgPool2d, GlobalAvgPool, MaxPool2d, PMeanPool2d, SumPool2d
from .recurrent import GRU, LSTM, RNN, detach
from .renormalise import LocalResponseNorm
from .sequential import Sequential
from .serialise import load, save
from .stateful import Stateful
from .summary import summary

__all__ = [
    "AdditiveNoise", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d", "Dense", "DistortedImages",
    "DropConnect", "Dropout", "ELU", "Embedding", "Flatten", "GRU", "GaussianDropout", "GlobalAvgPool", "LSTM",
    "LocalResponseNorm", "MaxPool2d", "Module", "PMeanPool2d", "PReLU", "RNN", "ReLU", "Sequential", "Sigmoid",
    "Softmax", "Stateful", "SumPool2d", "Tanh", "detach", "fold", "folded", "load", "save", "summary",
]  # fmt: skip
