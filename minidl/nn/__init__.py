"""Layers: functions with parameters, whose operations carry the three passes."""

from .activations import ELU, Flatten, PReLU, ReLU, Sigmoid, Softmax, Tanh
from .folding import fold, folded
from .layers import Conv1d, Conv2d, Dense, Embedding
from .module import Module
from .noise import Dropout
from .normalise import BatchNorm1d, BatchNorm2d
from .pooling import AvgPool2d, GlobalAvgPool, MaxPool2d, PMeanPool2d, SumPool2d
from .renormalise import LocalResponseNorm
from .sequential import Sequential
from .serialise import load, save
from .summary import summary

__all__ = [
    "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d", "Dense", "Dropout", "ELU", "Embedding", "Flatten",
    "GlobalAvgPool", "LocalResponseNorm", "MaxPool2d", "Module", "PMeanPool2d", "PReLU", "ReLU", "Sequential",
    "Sigmoid", "Softmax", "SumPool2d", "Tanh", "fold", "folded", "load", "save", "summary",
]  # fmt: skip
