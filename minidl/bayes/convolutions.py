"""A convolution whose kernels are drawn anew for each patch, written out: what dropout before pooling stands for."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..nn import Conv2d, door
from ..nn.noise import NUMBERS
from ..ops.convolution import Convolution, padding_of
from ..tape import raw

__all__ = ["masked_convolution"]


def masked_convolution(x: Any, layer: Conv2d, masks: Any) -> Any:
    """Each patch n times kernels of its own, patch_n (W diag(eps_n)), with W (c_in kh kw, K) the vectorised kernels.

    x: images (N, c_in, H, W), array or Tensor. layer: the convolution of K kernels. masks: an array (N, K, OH, OW), a
    number eps for each pair of kernel and patch, in the layout of the output. Returns (N, K, OH, OW).
    It is what dropout makes of each element of the layer's output before pooling: the same numbers, at c_in kh kw times
    the memory. The text's convolution has no bias. Where a layer has one, dropout on the output drops it too: it is one
    more row of W, which meets a 1 that is added to every patch.
    As many images are taken at once as make NUMBERS weights, at least one; with a tape all weights stay.
    Raises TypeError for another layer, ValueError for masks of another shape, and what the layer itself refuses.
    Erratum: gal, section 3.4.1: printed patches x_{i-h/2, j-w/2} .. x_{i+h/2, j+w/2}, h + 1 elements on a diagonal;
    right: the h x w elements of a rectangle.
    Source: gal:kernel-patch-masks, gal:conv-as-matmul
    """
    if type(layer) is not Conv2d:
        raise TypeError(f"masked_convolution: layer must be Conv2d, got {type(layer).__name__}")
    door.images(layer, x, layer.c_in)
    widths = Convolution(layer.stride, padding_of(layer.padding)).widths(x, layer.W)
    padded = ops.pad(x, ((0, 0), (0, 0), *widths))
    door.fits(layer, padded.shape[2:], layer.kernel)
    patches = ops.im2col(padded, layer.kernel, layer.stride)  # (N, OH, OW, c_in kh kw)
    W = ops.transpose(ops.reshape(layer.W, (layer.c_out, -1)))  # (c_in kh kw, K)
    n, oh, ow, _ = patches.shape
    if raw(masks).shape != (n, layer.c_out, oh, ow):
        raise ValueError(
            f"masked_convolution: masks must have the shape of the output, {(n, layer.c_out, oh, ow)}, "
            f"got {raw(masks).shape}"
        )
    epsilon = raw(masks).transpose(0, 2, 3, 1)  # (N, OH, OW, K)

    def convolve(at: slice) -> Any:
        drawn = ops.multiply(W, epsilon[at, :, :, None, :])  # W diag(eps_n) of every patch n
        y = ops.affine(patches[at, :, :, None, :], drawn)[:, :, :, 0, :]
        return y if layer.b is None else ops.add(y, ops.multiply(layer.b, epsilon[at]))

    size = max(1, NUMBERS // (W.size * oh * ow))
    blocks = [slice(k, k + size) for k in range(0, max(1, n), size)]
    return ops.transpose(ops.concat([convolve(at) for at in blocks]), (0, 3, 1, 2))
