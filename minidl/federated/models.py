"""The five networks of the text, to the last parameter."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import LSTM, Conv2d, Dense, Embedding, Flatten, MaxPool2d, ReLU, Sequential
from ..nn.distort import DistortedImages
from ..randomness import generator

__all__ = ["char_lstm", "cifar_cnn", "mnist_2nn", "mnist_cnn", "word_lstm"]


def mnist_2nn(n_in: int = 784, classes: int = 10, rng: Any = 0) -> Sequential:
    """Two hidden layers of 200 ReLU: rows (N, 784) to logits (N, 10), 199,210 parameters.

    n_in, classes: for other data, such as digits of 8 x 8 pixels. rng: a Generator or an int, for the first weights.
    Source: fedavg:2nn
    """
    rng = generator(rng, "mnist_2nn")
    return Sequential(
        dense1=Dense(n_in, 200, rng=rng),
        relu1=ReLU(),
        dense2=Dense(200, 200, rng=rng),
        relu2=ReLU(),
        dense3=Dense(200, classes, rng=rng),
    )


def mnist_cnn(rng: Any = 0) -> Sequential:
    """Convolutions of 32 and 64 kernels of 5x5, each with 2x2 pooling, and 512 ReLU: 1,663,370 parameters.

    Images (N, 1, 28, 28) to logits (N, 10). The text does not say how edges are treated; its number of parameters fits
    images that keep their size in the convolutions, 7 x 7 x 64 before the dense layer.
    Source: fedavg:cnn
    """
    rng = generator(rng, "mnist_cnn")
    return Sequential(
        conv1=Conv2d(1, 32, 5, padding="same", rng=rng),
        relu1=ReLU(),
        pool1=MaxPool2d(2),
        conv2=Conv2d(32, 64, 5, padding="same", rng=rng),
        relu2=ReLU(),
        pool2=MaxPool2d(2),
        flatten=Flatten(),
        dense1=Dense(7 * 7 * 64, 512, rng=rng),
        relu3=ReLU(),
        dense2=Dense(512, 10, rng=rng),
    )


def cifar_cnn(kernels: int = 64, units: tuple[int, int] = (384, 192), rng: Any = 0) -> Sequential:
    """Two convolutions of 64 kernels of 5x5, dense layers of 384 and 192, logits: 1,068,298 parameters.

    Images (N, 3, 32, 32) in [0, 1] to logits (N, 10). The first layer draws a view of 24 x 24 of each image where a
    call brings rng, as training does, and takes the middle otherwise. The text takes the network from a tutorial of
    the time and says "about 10^6"; its pooling of overlapping windows and its local normalisation, which have no
    parameters, are left out here. kernels, units: for smaller ones.
    Source: fedavg:cifar-cnn
    """
    rng = generator(rng, "cifar_cnn")
    return Sequential(
        view=DistortedImages(24),
        conv1=Conv2d(3, kernels, 5, padding="same", rng=rng),
        relu1=ReLU(),
        pool1=MaxPool2d(2),
        conv2=Conv2d(kernels, kernels, 5, padding="same", rng=rng),
        relu2=ReLU(),
        pool2=MaxPool2d(2),
        flatten=Flatten(),
        dense1=Dense(6 * 6 * kernels, units[0], rng=rng),
        relu3=ReLU(),
        dense2=Dense(units[0], units[1], rng=rng),
        relu4=ReLU(),
        dense3=Dense(units[1], 10, rng=rng),
    )


def char_lstm(types: int = 258, units: int = 256, rng: Any = 0) -> Sequential:
    """An embedding of 8, two LSTMs of 256 with peepholes, a softmax over characters: 866,578 parameters.

    Ids (N, T) to the logits of each next character (N, T, types). types: 256 bytes and two marks, which is what the
    number of parameters fits, as it does one bias a gate and peepholes; units: for smaller ones. The embedding starts
    with standard normal numbers.
    Source: fedavg:char-lstm
    """
    rng = generator(rng, "char_lstm")
    return Sequential(
        embedding=_embedding(types, 8, rng),
        lstm1=LSTM(8, units, peephole=True, rng=rng),
        lstm2=LSTM(units, units, peephole=True, rng=rng),
        dense=Dense(units, types, rng=rng),
    )


def word_lstm(words: int = 10_000, dim: int = 192, units: int = 256, rng: Any = 0) -> Sequential:
    """An embedding of 192, an LSTM of 256 with peepholes, a softmax over 10,000 words: 4,950,544 parameters.

    Ids (N, T) to the logits of each next word (N, T, words). words: with the one id for all that are no word of the
    vocabulary. The embedding starts with standard normal numbers.
    Erratum: fedavg, section 3, large-scale LSTM: printed "input and output embeddings ... of dimension 192"; right by
    the number of parameters: 192 in, and 256 to 10,000 out.
    Source: fedavg:word-lstm
    """
    rng = generator(rng, "word_lstm")
    return Sequential(
        embedding=_embedding(words, dim, rng),
        lstm=LSTM(dim, units, peephole=True, rng=rng),
        dense=Dense(units, words, rng=rng),
    )


def _embedding(types: int, dim: int, rng: np.random.Generator) -> Embedding:
    """Rows of standard normal numbers. The text does not say how weights start.

    As the matrix of a dense layer over one-hot vectors they would start near 0, all types alike, and plain gradient
    descent would need several times as many steps to tell them apart.
    """
    table = Embedding(types, dim)
    table.W = rng.standard_normal((types, dim))
    return table
