"""Operations: plain arrays in, plain array out; any Tensor in, Tensor out. One file a family."""

from .arithmetic import add, divide, gate, multiply, negate, subtract
from .convolution import conv2d
from .elementwise import (
    absolute,
    cos,
    elu,
    exp,
    log,
    power,
    prelu,
    relu,
    sigmoid,
    sign,
    sin,
    softplus,
    sqrt,
    tanh,
)
from .linear import affine, matmul
from .moves import (
    broadcast_to,
    col2im,
    concat,
    embedding,
    flatten,
    getitem,
    im2col,
    pad,
    reshape,
    stack,
    swapaxes,
    transpose,
    unstack,
    where,
)
from .operators import install
from .pooling import avg_pool2d, max_pool2d, sum_pool2d
from .power_pooling import power_mean_pool2d
from .recurrent import gru, lstm, rnn
from .reduce import amax, logsumexp, maximum, mean, minimum, softmax, softmax_cross_entropy, total
from .renormalise import local_response_norm

install()

__all__ = [
    "absolute", "add", "affine", "amax", "avg_pool2d", "broadcast_to", "col2im", "concat", "conv2d", "cos", "divide",
    "elu", "embedding", "exp", "flatten", "gate", "getitem", "gru", "im2col", "local_response_norm", "log", "logsumexp",
    "lstm", "matmul", "max_pool2d", "maximum", "mean", "minimum", "multiply", "negate", "pad", "power",
    "power_mean_pool2d", "prelu", "relu", "reshape", "rnn", "sigmoid", "sign", "sin", "softmax",
    "softmax_cross_entropy", "softplus", "sqrt", "stack", "subtract", "sum_pool2d", "swapaxes", "tanh", "total",
    "transpose", "unstack", "where",
]  # fmt: skip
