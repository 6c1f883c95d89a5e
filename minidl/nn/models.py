"""Networks that the texts name, built to the last parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..randomness import generator
from .activations import Flatten, ReLU
from .layers import Conv1d, Conv2d, Dense
from .module import Module
from .noise import Dropout
from .pooling import GlobalAvgPool, MaxPool2d
from .sequential import Sequential

__all__ = ["bayesian_lenet", "deeplift_genomics", "deeplift_mnist"]

WHERE = ("everywhere", "inner", "nowhere")


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


def bayesian_lenet(
    where: str = "everywhere",
    p: float = 0.5,
    *,
    noise: Callable[[float], Module] = Dropout,
    size: int = 28,
    channels: Sequence[int] = (20, 50),
    kernel: int = 5,
    padding: int | str = 0,
    hidden: int = 500,
    rng: Any = 0,
) -> Sequential:
    """A LeNet with dropout as inference: images (N, 1, size, size) to logits (N, 10); as it stands 431,080 parameters.

    where: "everywhere", behind each convolution, before its pooling, and behind the inner-product layer; "inner",
    behind that layer only, as is usual; "nowhere". Never behind the logits. p: what noise layers are made with,
    noise(p): the probability of dropping, for another noise its own parameter.
    channels: kernels of each convolution; each is pooled by 2 x 2, which is its only non-linearity, as the text has it.
    kernel, padding: of the convolutions, as for Conv2d. hidden: units of the inner-product layer. The sizes are those
    of the usual LeNet, not the text's, whose experiments (section 4.4) are not in our copy. For the digits of 8 x 8:
    size=8, kernel=3, padding="same". rng: a Generator or an int, for the first weights (glorot uniform), which do not
    depend on where.
    Raises ValueError for another where, and for a size that the convolutions and poolings shrink to nothing.
    Source: gal:bayesian-cnn
    """
    if where not in WHERE:
        raise ValueError(f"bayesian_lenet: where must be one of {', '.join(WHERE)}, got {where!r}")
    rng, layers, c_in, side = generator(rng, "bayesian_lenet"), {}, 1, size
    for k, c_out in enumerate(channels, 1):
        layers[f"conv{k}"] = Conv2d(c_in, c_out, kernel, padding=padding, rng=rng)
        if where == "everywhere":
            layers[f"noise{k}"] = noise(p)
        layers[f"pool{k}"] = MaxPool2d(2)
        c_in, side = c_out, (side if padding == "same" else side + 2 * padding - kernel + 1) // 2
    if side < 1:
        raise ValueError(
            f"bayesian_lenet: size {size} is too small for {len(channels)} convolutions of {kernel} x {kernel}, each "
            'pooled by 2 x 2; use a smaller kernel, fewer channels, or padding="same"'
        )
    layers |= {"flatten": Flatten(), "dense1": Dense(c_in * side * side, hidden, rng=rng), "relu": ReLU()}
    if where != "nowhere":
        layers["noise"] = noise(p)
    return Sequential(**layers, dense2=Dense(hidden, 10, rng=rng))
