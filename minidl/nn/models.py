"""Networks that the texts name, built to the last parameter."""

from __future__ import annotations

from typing import Any

from ..randomness import generator
from .activations import Flatten, ReLU
from .layers import Conv1d, Conv2d, Dense
from .noise import Dropout
from .pooling import GlobalAvgPool
from .sequential import Sequential

__all__ = ["deeplift_genomics", "deeplift_mnist"]


def deeplift_mnist(rng: Any = 0) -> Sequential:
    """DeepLIFT's network for MNIST: images (N, 1, 28, 28) to logits (N, 10), 239,594 parameters.

    Convolutions with stride 2 in place of pooling; the text describes it in words, the sizes are the supplement's.
    rng: a Generator or an int, for the first weights (glorot uniform).
    Source: deeplift:mnist-model
    """
    rng = generator(rng, "deeplift_mnist")
    return Sequential(
        conv1=Conv2d(1, 32, 4, stride=2, rng=rng),
        relu1=ReLU(),
        conv2=Conv2d(32, 64, 4, stride=2, rng=rng),
        relu2=ReLU(),
        dropout1=Dropout(0.25),
        flatten=Flatten(),
        dense1=Dense(64 * 5 * 5, 128, rng=rng),
        relu3=ReLU(),
        dropout2=Dropout(0.5),
        dense2=Dense(128, 10, rng=rng),
    )


def deeplift_genomics(rng: Any = 0) -> Sequential:
    """DeepLIFT's network for DNA: one-hot letters (N, 4, T) to the logits of three tasks (N, 3), 32,503 parameters.

    The tasks are those of `minidl.data.genomics`; a sigmoid of each logit is its probability. The text describes the
    network in words, the sizes are the supplement's. T must be at least 21, the letters that one unit sees.
    rng: a Generator or an int, for the first weights (glorot uniform).
    Source: deeplift:genomics-model
    """
    rng = generator(rng, "deeplift_genomics")
    return Sequential(
        conv1=Conv1d(4, 50, 11, rng=rng),
        relu1=ReLU(),
        conv2=Conv1d(50, 50, 11, rng=rng),
        relu2=ReLU(),
        pool=GlobalAvgPool(),
        dense1=Dense(50, 50, rng=rng),
        relu3=ReLU(),
        dropout=Dropout(0.5),
        dense2=Dense(50, 3, rng=rng),
    )
