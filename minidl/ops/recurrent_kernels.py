"""The loops of recurrent cells on plain arrays, forward and back; the twins in `recurrent.py` say what they compute.

What can be done for all steps at once is not in the loops: on the way back the local derivatives of all gates before,
the gradient of U after. Two threads take half of a large batch each, for sequences do not know one another.
Sequences come and go as (N, T, ...), but in memory time is the first axis, (T, N, ...), behind a view: a step is then
one piece of memory, and the next layer does not mind.
"""

from __future__ import annotations

import numpy as np

from .. import threads
from ..backend import xp
from . import fast

LARGE = 2e6  # multiplications of one step from which two threads pay
WIDTH = 64  # columns of U in a block: side by side in memory, few of them at a time are multiplied faster than all


def each(m, work, n, U):
    """Call work with all n sequences, or on two threads with half of them each; by the sizes alone."""
    half = (n + 1) // 2 if n <= fast.FEW else (n + 7) // 8 * 4  # BLAS takes four rows at a time
    large = m is np and n > half and n * U.size >= LARGE
    threads.run(work, [slice(0, half), slice(half, n)] if large else [slice(0, n)])


def at(masks, t, rows):
    """The masks (K, rows, H) of a step, or None."""
    return None if masks is None else masks[:, rows, t % masks.shape[2]]


def blocks(U, masks):
    """The columns of U in blocks (P, H, width), each in one piece of memory: one for each mask, or narrow ones."""
    gates, columns = 1 if masks is None else len(masks), U.shape[1]
    count = gates if gates > 1 or columns % WIDTH else columns // WIDTH
    return xp(U).ascontiguousarray(parted(U, count))


def add_product(z, h, U, masks):
    """z += h U: z (n, gates H), h (n, H), U in blocks; each mask (n, H) on h for its part of the gates."""
    part = parted(z, len(U))
    part += xp(h).matmul(fast.in_fours(h) if masks is None else h * masks, U)[:, : len(h)]


def product_back(d, U, masks):
    """The adjoint of h U in h: d (n, gates H) to (n, H). U: transposed, in one piece of memory."""
    if masks is None:
        return fast.product(d, U)
    if len(masks) == 1:
        return fast.product(d, U) * masks[0]
    gates = U.reshape(len(masks), -1, U.shape[1])
    return (xp(d).matmul(parted(d, len(masks)), gates) * masks).sum(0)


def parted(a, count):
    """(n, count width) as (count, n, width), the same memory."""
    return a.reshape(len(a), count, a.shape[1] // count).transpose(1, 0, 2)


def turned(a):
    """(N, T, ...) as (T, N, ...) or back, the same memory; None stays None."""
    return None if a is None else a.swapaxes(0, 1)


def weights(h, y, dz, masks):
    """The gradient of U: the sum over steps and sequences of the outer products of h_{t-1}, masked, and dz_t."""
    m, y, dz = xp(dz), turned(y), turned(dz)
    steps, n, width = dz.shape
    H = h.shape[-1]
    before = m.concatenate([m.broadcast_to(h, (1, n, H)), y[: steps - 1]])
    if masks is None:
        return fast.product(before.reshape(steps * n, H).T, dz.reshape(steps * n, width))
    gates = dz.reshape(steps * n, len(masks), width // len(masks)).transpose(1, 0, 2)
    parts = [fast.product((before * turned(k)).reshape(steps * n, H).T, d) for k, d in zip(masks, gates)]
    return parts[0] if len(parts) == 1 else m.concatenate(parts, 1)


def start(m, y, *state):
    """The first state, for each of the sequences in y, in y's type."""
    return [m.broadcast_to(s, y.shape[1:]).astype(y.dtype, copy=False) for s in state]


# ---- the simple cell ------------------------------------------------------------------------------------------------


def rnn(z, U, h, masks, alive, f):
    """y (N, T, H) for z (N, T, H), and itself for the way back. f: the non-linearity."""
    m, z, alive = xp(z), turned(z), turned(alive)
    y = m.empty(z.shape, m.result_type(z, U, h))
    y[...] = z
    (first,), V = start(m, y, h), blocks(U, masks)

    def work(rows):
        last = first[rows]
        for t in range(len(z)):
            new = y[t, rows]
            add_product(new, last, V, at(masks, t, rows))
            new[...] = f(new) if alive is None else m.where(alive[t, rows], f(new), last)
            last = new

    each(m, work, z.shape[1], U)
    return turned(y), y


def rnn_back(g, y, U, masks, alive, slope):
    """The gradients of z and of the first state. slope: of the non-linearity, from its output."""
    m, Ut, g, alive = xp(g), xp(g).ascontiguousarray(U.T), turned(g), turned(alive)
    dz = slope(y)
    dh = m.zeros_like(y[0])
    if alive is not None:
        dz *= alive

    def work(rows):
        back = dh[rows]
        for t in range(len(y) - 1, -1, -1):
            back += g[t, rows]
            d = dz[t, rows]
            d *= back
            below = product_back(d, Ut, at(masks, t, rows))
            back[...] = below if alive is None else below + back * ~alive[t, rows]

    each(m, work, y.shape[1], U)
    return turned(dz), dh


# ---- the LSTM -------------------------------------------------------------------------------------------------------


def lstm(z, U, h, c, p, masks, alive):
    """y (N, T + 1, H) for z (N, T, 4H): h of each step, the last c; and gates, cells and their tanh for the way back.

    sigmoid(x) = 0.5 tanh(x / 2) + 0.5: with the halves taken into z, U and the peepholes p, a step needs one tanh for
    its four gates, or three if the output gate has to wait for the cell that it sees.
    """
    m, z, alive, H = xp(z), turned(z), turned(alive), len(U)
    steps, n, _ = z.shape
    y = m.empty((steps + 1, n, H), m.result_type(z, U, h, c))
    half = m.full(4 * H, 0.5, y.dtype)
    half[3 * H :] = 1
    gates, V = m.empty(z.shape, y.dtype), blocks(U * half, masks)
    m.multiply(z, half, out=gates)
    cells, bent = m.empty_like(y), m.empty((steps, n, H), y.dtype)
    first, cells[0] = start(m, y, h, c)
    half_p = None if p is None else (p * 0.5).astype(y.dtype, copy=False)

    def opened(a):
        m.tanh(a, out=a)
        a *= 0.5
        a += 0.5

    def work(rows):
        last, before = first[rows], cells[0, rows]
        for t in range(steps):
            a = gates[t, rows]
            i, f, o, new = (a[:, k * H : (k + 1) * H] for k in range(4))
            cell, hidden = cells[t + 1, rows], y[t, rows]
            add_product(a, last, V, at(masks, t, rows))
            if p is None:
                m.tanh(a, out=a)
                opens = a[:, : 3 * H]
                opens *= 0.5
                opens += 0.5
            else:
                i += before * half_p[0]
                f += before * half_p[1]
                opened(a[:, : 2 * H])
                m.tanh(new, out=new)
            m.multiply(before, f, out=cell)
            cell += i * new
            if p is not None:
                o += cell * half_p[2]
                opened(o)
            m.tanh(cell, out=bent[t, rows])
            m.multiply(bent[t, rows], o, out=hidden)
            if alive is not None:
                cell[...] = m.where(alive[t, rows], cell, before)
                hidden[...] = m.where(alive[t, rows], hidden, last)
            last, before = hidden, cell

    each(m, work, n, U)
    y[steps] = cells[steps]
    return turned(y), (gates, cells, bent)


def lstm_back(g, kept, U, p, masks, alive):
    """The gradients of z, of the first h and of the first c."""
    m, Ut, g, alive = xp(g), xp(g).ascontiguousarray(U.T), turned(g), turned(alive)
    gates, cells, bent = kept
    steps, n, H = bent.shape
    dz = m.empty_like(gates)
    dh, dc = m.zeros_like(cells[0]), g[steps].copy()

    def work(rows):
        i, f, o, new = (gates[:, rows, k * H : (k + 1) * H] for k in range(4))
        di, df, do, dnew = (dz[:, rows, k * H : (k + 1) * H] for k in range(4))
        # for all steps: what a change of each gate's z does to c, or for o to h; and what one of c does to h
        di[...] = new * i * (1 - i)
        df[...] = cells[:-1, rows] * f * (1 - f)
        do[...] = bent[:, rows] * o * (1 - o)
        dnew[...] = i * (1 - new * new)
        out = o * (1 - bent[:, rows] * bent[:, rows])
        if alive is not None:
            for part in (di, df, do, dnew, out):
                part *= alive[:, rows]
            f = m.where(alive[:, rows], f, 1)
        h, c = dh[rows], dc[rows]
        for t in range(steps - 1, -1, -1):
            h += g[t, rows]
            c += h * out[t]
            o_t = do[t]
            o_t *= h
            if p is not None:
                c += o_t * p[2]
            for part in (di, df, dnew):
                d = part[t]
                d *= c
            c *= f[t]
            if p is not None:
                c += di[t] * p[0]
                c += df[t] * p[1]
            below = product_back(dz[t, rows], Ut, at(masks, t, rows))
            h[...] = below if alive is None else below + h * ~alive[t, rows]

    each(m, work, n, U)
    return turned(dz), dh, dc


def peepholes(kept, dz):
    """The gradient of the peepholes, (3, H): the sum over steps and sequences of each gate's dz and the cell it saw."""
    (_, cells, bent), dz = kept, turned(dz)
    steps, n, H = bent.shape
    m, i, f, o = xp(dz), *(dz[..., k * H : (k + 1) * H] for k in range(3))
    before, now = cells[:-1], cells[1:]
    return m.stack([(i * before).sum((0, 1)), (f * before).sum((0, 1)), (o * now).sum((0, 1))])
