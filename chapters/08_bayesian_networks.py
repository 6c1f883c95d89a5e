# %% [markdown]
# # Bayesian networks for images and sequences
#
# **Reading time:** 20 minutes. **Needs:** the text open beside you, Gal's section 3.4; from chapter 07 standard and MC
# dropout, and the three measures of uncertainty. The digits come with minidl.
#
# Afterwards you can
# - write a convolution as a product of matrices, and say which distribution over its kernels dropout stands for,
# - make any convolutional network Bayesian, and ask it $T$ times,
# - say why passing on means fails where dropout stands before a pooling, by how much, and what to do,
# - look at a digit that turns, and tell from the passes when the network stops knowing what it sees.

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import rotate
from tqdm import tqdm

from minidl import data, losses, ops, optim, report, train
from minidl.bayes import (
    masked_convolution,
    mc_predict,
    mutual_information,
    predictive_entropy,
    predictive_log_probability,
    predictive_mean,
    sample_labels,
    variation_ratio,
)
from minidl.nn import Conv2d, Dropout, MaxPool2d, Module, Sequential
from minidl.nn.models import bayesian_lenet
from minidl.report.values import text_table
from minidl.tape import raw

run = report.chapter(
    "08_bayesian_networks",
    minutes=20,
    law="a mask on each pair of kernel and patch is dropout on each element of the convolution's output",
    data={"full": ("mnist",)},
)
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#7B3294", "0.6"
OF_SMALL = run.pick(smoke="", quick="", full="-digits")  # at full scale the plain names are MNIST's
plt.rcParams["figure.dpi"] = 72  # small pictures keep the notebook small

# %% [markdown]
# ## 1. A convolution is a product of matrices
#
# Chapter 07 drew the rows of a weight matrix. Where is the matrix of a convolution? Cut the image into the $n$ patches
# that the kernels meet, and write each as a row of $\bar x$, with $h w K_{i-1}$ numbers; write each of the $K_i$
# kernels as a column of $W_i$. Then the convolution is $\bar x W_i$, and its $n$ rows, put back in place, are the
# output [gal:conv-as-matmul]. (The text's patches go from $i - h/2$ to $i + h/2$, which is one element too many. And as
# everywhere in this field nothing is flipped.)

# %%
images, labels = data.digits()
x = images[:1].astype(np.float64)
conv = Conv2d(1, 4, 3, bias=False, rng=run.seed, dtype="float64")

patches = np.lib.stride_tricks.sliding_window_view(x[0, 0], (3, 3)).reshape(-1, 9)
W = conv.W.data.reshape(4, 9).T
y = patches @ W
there = conv(x).data[0]
print(f"{len(patches)} patches of {patches.shape[1]} numbers, {W.shape[1]} kernels")
print("largest difference from the convolution:", abs(y.T.reshape(there.shape) - there).max())
assert np.allclose(y.T.reshape(there.shape), there, rtol=0, atol=1e-12), "a convolution is patches times kernels"

# %% [markdown]
# ## 2. A mask for each kernel and each patch
#
# To integrate over the kernels the text draws a mask $\epsilon_{i,j,n}$ for each pair of kernel $j$ and patch $n$, and
# multiplies patch $n$ by $W_i\, \mathrm{diag}(\epsilon_{i,1,n}, \dots, \epsilon_{i,K_i,n})$ [gal:kernel-patch-masks].
# So each patch has kernels of its own, some of them set to zero, and all with the same means. A masked *column* takes
# one number of the product with it, and that number is an element of the output:

# %%
epsilon = np.random.default_rng(run.seed).random((len(patches), 4)) >= 0.5
drawn = W * epsilon[:, None, :]  # W diag(epsilon_n): as many matrices as patches
of_kernels = (patches[:, None, :] @ drawn)[:, 0]
of_outputs = (patches[:, None, :] @ W)[:, 0] * epsilon
print(f"{drawn.size} drawn weights and {epsilon.size} masks: the same bits", bool((of_kernels == of_outputs).all()))
assert np.allclose(of_kernels, of_outputs, rtol=0, atol=1e-12), "masks on kernels and masks on outputs are one"

# %% [markdown]
# So dropout behind a convolution *is* this distribution, at a ninth of the numbers here, and at a 500th in the second
# layer of the usual LeNet. The library has the long way too, with strides, padding and any masks; with the masks that a
# dropout layer draws, it is that layer. (Where a convolution has a bias, dropout takes the bias of the element with it.
# The text's has none.)

# %%
strided = Conv2d(1, 4, 3, stride=2, padding="same", rng=run.seed, dtype="float64")
strided.b = np.arange(4)
dropout, batch = Dropout(0.5), images[:5].astype(np.float64)
masks = dropout(np.ones(strided(batch).shape), rng=run.seed).data
long_way, short_way = masked_convolution(batch, strided, masks), dropout(strided(batch), rng=run.seed)
print("both ways differ by", abs(long_way.data - short_way.data).max())
assert np.allclose(long_way.data, short_way.data, rtol=0, atol=1e-12), "the layer draws these masks"

# %% [markdown]
# This is not the only choice. A kernel drawn once an image, and kept at all places, would be one mask a *channel*; then
# all places of an image would err together. The text's choice makes "dropout after every convolution layer before
# pooling" a Bayesian network [gal:bayesian-cnn]. Here it is, for our small digits. As in the text, pooling is the only
# non-linearity of a convolution. The text's sizes are not in our copy (they belong to its section 4.4); these are the
# usual LeNet's, with smaller kernels.

# %%
SMALL = {"size": 8, "kernel": 3, "padding": "same"}
print(bayesian_lenet("everywhere", **SMALL).summary(images[:1]))

# %% [markdown]
# ## 3. Three networks, two tests
#
# Three networks start from the same weights and see the same batches: without dropout; with dropout behind the inner
# product only, as is usual; with dropout everywhere. Each is asked in two ways: once without noise, which passes the
# means on (*standard dropout*), and $T$ times with noise (*MC dropout*). The text reports: where dropout follows the
# convolutions the first does not do well, the second does. It calls this a negative result, found empirically.

# %%
WHERE = {"nowhere": GREY, "inner": BLUE, "everywhere": ORANGE}
PASSES = run.pick(smoke=(1, 2), quick=(1, 2, 5, 10, 20, 50, 100), full=(1, 2, 5, 10, 20, 50, 100))


def trained(where, x, y, epochs, batch_size, rate, seed, checkpoint=None, **sizes):
    """A network with dropout there, trained by Adam with a rate that falls to a twentieth."""
    model = bayesian_lenet(where, rng=seed, **sizes)
    rates = optim.ExponentialDecay(rate, 1 / 20, epochs * -(-len(x) // batch_size))
    adam = optim.Adam(model.parameters(), rates)
    train.fit(model, losses.cross_entropy, (x, y), epochs, batch_size, adam, seed, None, checkpoint, bool(checkpoint))
    return model


def judged(model, x, y, seed):
    """Error and mean ln p of the label, by standard dropout, then by the first T passes for each T in PASSES."""
    loss, right = train.evaluate(model, losses.cross_entropy, x, y)
    p = ops.softmax(mc_predict(model, x, PASSES[-1], seed, progress=run.scale == "full"))
    return {
        "error": [1 - right, *((predictive_mean(p[:T]).argmax(1) != y).mean() for T in PASSES)],
        "ln p": [-loss, *(predictive_log_probability(p[:T], y).mean() for T in PASSES)],
    }


seeds = range(run.seed, run.seed + run.pick(smoke=1, quick=1, full=5))
epochs = run.pick(smoke=1, quick=20, full=20)
networks, found = {}, {where: [] for where in WHERE}
for seed in tqdm(seeds, desc="training"):
    kept, held_out = data.stratified_split(labels, 0.2, seed)
    kept = kept[: run.pick(smoke=64, quick=None, full=None)]
    for where in WHERE:
        model = trained(where, images[kept], labels[kept], epochs, 32, 0.002, seed, **SMALL)
        found[where].append(judged(model, images[held_out], labels[held_out], seed))
        networks.setdefault(where, (model, held_out))

COLUMNS = "error %, standard", f"error %, {PASSES[-1]} passes", "ln p, standard", f"ln p, {PASSES[-1]} passes"


def table(found):
    """Means over the networks of each kind."""
    rows = []
    for where in WHERE:
        error, ln_p = (np.mean([one[of] for one in found[where]], 0) for of in ("error", "ln p"))
        values = 100 * error[0], 100 * error[-1], ln_p[0], ln_p[-1]
        rows.append({"label": f"dropout {where}", "ours": dict(zip(COLUMNS, map(float, values), strict=True))})
    return rows


def draw(found):
    """Error and ln p over the number of passes; standard dropout as a dashed line."""
    figure = Figure(figsize=(8.5, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, of, times in zip(axes, ("error", "ln p"), (100, 1), strict=True):
        for where, colour in WHERE.items():
            standard, *by_passes = times * np.mean([one[of] for one in found[where]], 0)
            ax.axhline(standard, color=colour, ls="--", lw=1)
            if where != "nowhere":
                ax.plot(PASSES, by_passes, color=colour, marker=".", label=f"dropout {where}, T passes")
        ax.set_xscale("log")
        ax.set(xlabel="passes T", xticks=PASSES, xticklabels=PASSES)
        ax.minorticks_off()
    axes[0].plot([], [], "--", color=GREY, label="one pass without noise (grey: no dropout)")
    axes[0].set_ylabel("test error (%)")
    axes[1].set_ylabel("mean ln p of the label (nats)")
    axes[0].legend(frameon=False, fontsize=8)
    return figure


NOTE = "the text prints no numbers in the part that we have. Standard: one pass without noise. p = 0.5; sizes and "
NOTE += "training were fixed beforehand, no test image chose anything"
figure = draw(found)
report.record(
    run.pick(smoke="gal:bayesian-cnn", quick="gal:bayesian-cnn", full="minidl:bayesian-cnn-digits"),
    f"Bayesian LeNets on {len(held_out)} held-out digits of 8 by 8; networks of each kind: {len(seeds)}",
    columns=COLUMNS,
    rows=table(found),
    figure=figure,
    note=NOTE,
)
figure

# %% [markdown]
# The text's finding is here: with dropout everywhere, standard dropout makes clearly more mistakes than the mean over
# passes, and ten passes are enough to see it. With dropout on the inner product alone the two tests hardly differ. What
# we do not see is a gain from dropout everywhere. On digits this small half of every layer is a lot to lose: with all
# its passes the network is about as right as the one without dropout, and gives the right label *less* probability.
#
# ## 4. Why the mean does not get through
#
# Standard dropout is exact for linear layers, and a convolution is linear. The pooling is not. The largest of a few
# numbers is a convex function, so by Jensen's inequality its mean lies above its value at the mean. By how much? Sort
# the four outputs of a window, $v_1 \ge v_2 \ge v_3 \ge v_4$. Scaled masks either drop one or divide it by $1 - p$. The
# largest is $v_k$ if it is kept and those before it are dropped; or 0, if that is larger. So
#
# $$\mathbb E[\max] = \frac1{1 - p} \Big( \sum_{k=1}^4 p^{k-1} (1 - p) \max(v_k, 0) + (1 - p)^4 \min(v_1, 0) \Big)$$
#
# where standard dropout passes on $v_1$. As a layer, beside the mean over all 16 masks:

# %%


class MeanOfMax(Module):
    """The mean of MaxPool2d(2) behind Dropout(p): (N, C, H, W) to (N, C, H / 2, W / 2)."""

    def __init__(self, p):
        self.p = p

    def forward(self, x, rng=None):
        n, c, h, w = x.shape
        windows = raw(x).reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)
        v = np.sort(windows.reshape(n, c, h // 2, w // 2, 4))[..., ::-1]
        chances = np.array([self.p**k * (1 - self.p) for k in range(4)], v.dtype)
        mean = np.maximum(v, 0) @ chances + (1 - self.p) ** 4 * np.minimum(v[..., 0], 0)
        return mean / (1 - self.p)


p = 0.5
all_masks = np.indices((2,) * 4).reshape(4, 16).T
chances = p ** (4 - all_masks.sum(1)) * (1 - p) ** all_masks.sum(1)
columns = "standard", "mean over 16 masks", "formula"
rows = []
for v in ((1, 0, 0, 0), (1, 1, 0, 0), (1, 1, 1, 1), (1, 0.5, -0.5, -1), (-1, -1, -1, -1)):
    window = np.array(v, float).reshape(1, 1, 2, 2)
    exact = chances @ (all_masks * v / (1 - p)).max(1)
    values = MaxPool2d(2)(window).item(), exact, MeanOfMax(p)(window).item()
    assert np.isclose(values[1], values[2], rtol=0, atol=1e-12), "the formula is not the mean over all masks"
    rows.append({"label": " ".join(f"{number:g}" for number in v), "ours": dict(zip(columns, values, strict=True))})
report.record(
    "minidl:pooled-windows",
    f"What a pooling makes of four outputs with dropout, p = {p}",
    columns=columns,
    rows=rows,
    note="a single large output gets through unchanged; where several are alike standard dropout falls short",
)

# %% [markdown]
# In a network this adds up from layer to layer. Below, what standard dropout passes on is compared, unit by unit, with
# the mean over passes; the factor is that of a least-squares fit. And a third test: the same network, once, without
# noise, but with the formula in the place of its two poolings. If the poolings are to blame, that should do.

# %%


def factors(model, x, T, seed):
    """Mean over passes = factor times what standard dropout passes on, behind each layer with weights or pooling."""
    found = {}
    for k, name in enumerate(model.children(), 1):
        if name.startswith(("conv", "pool", "dense")):
            standard, passes = model[:k](x).data, predictive_mean(mc_predict(model[:k], x, T, seed))
            found[name] = (standard * passes).sum() / (standard**2).sum()
    return found


def with_mean_of_max(model, p=0.5):
    """The same layers, with the exact mean for each pooling."""
    return Sequential(*(MeanOfMax(p) if isinstance(layer, MaxPool2d) else layer for layer in model))


def blamed(model, x, y, tests, seed):
    """Rows for the record: the factor of each layer, then three tests, two of which are known."""
    rows = [
        {"label": f"behind {name}", "ours": {"factor": float(factor)}}
        for name, factor in factors(model, x[:500], PASSES[-1], seed).items()
    ]
    loss, right = train.evaluate(with_mean_of_max(model), losses.cross_entropy, x, y)
    for name, error, ln_p in (
        ("one pass, standard dropout", tests["error"][0], tests["ln p"][0]),
        ("one pass, the exact mean of each pooling", 1 - right, -loss),
        (f"{PASSES[-1]} passes", tests["error"][-1], tests["ln p"][-1]),
    ):
        rows.append({"label": name, "ours": {"error %": float(100 * error), "ln p": float(ln_p)}})
    return rows


BLAMED = "factor", "error %", "ln p"
FALLS = "How far standard dropout falls behind the mean over passes"
ALL_OVER = "dropout everywhere; factor 1: the mean is passed on as it should be. conv1 stands before all noise"
model, held_out = networks["everywhere"]
report.record(
    f"minidl:mean-through-pooling{OF_SMALL}",
    f"{FALLS}: {len(held_out)} held-out digits of 8 by 8",
    columns=BLAMED,
    rows=blamed(model, images[held_out], labels[held_out], found["everywhere"][0], run.seed),
    note=ALL_OVER,
)

# %% [markdown]
# Each pooling passes on a good deal too little, a convolution passes on what it gets, and the logits arrive at two
# thirds of their size. The single pass with the exact mean of each pooling makes no more mistakes than a hundred noisy
# ones. So it was the poolings. (Its probabilities are even better: there is no noise left to make them cautious, nor to
# tell us how sure the model is.)
#
# ## 5. A digit that turns
#
# What are passes good for, other than means? We take the held-out 1 of which the network is surest, and turn it. Nobody
# has shown the network a 1 that lies on its side. For each angle: the softmax inputs (*logits*) and outputs of all
# passes, for the four classes that become likeliest, and the measures of chapter 07 from the same passes.

# %%
ANGLES = run.pick(smoke=np.arange(0, 181, 90), quick=np.arange(0, 181, 15), full=np.arange(0, 181, 15))


def turned(image):
    """One image (H, W), turned about its middle by each angle: (len(ANGLES), 1, H, W)."""
    return np.stack([rotate(image, float(a), reshape=False, order=1) for a in ANGLES])[:, None]


def turning(model, image, T, seed):
    """Columns, rows and figure: what T passes say of the image at each angle."""
    x = turned(image)
    z = mc_predict(model, x, T, seed)
    p = ops.softmax(z)
    mean = predictive_mean(p)
    likeliest = np.sort(np.argsort(-mean.max(0))[:4])
    measures = {
        "entropy": predictive_entropy(p),
        "information": mutual_information(p),
        "variation ratio": variation_ratio(sample_labels(p, seed)),
    }
    figure = Figure(figsize=(8.5, 6.5), layout="constrained")
    axes = figure.subplots(4, sharex=True, height_ratios=(0.6, 1.5, 1.5, 1.5))
    for a, picture in zip(ANGLES, x[:, 0], strict=True):
        axes[0].imshow(picture, cmap="Greys", extent=(a - 6, a + 6, 0, 1), aspect="auto")
    axes[0].set(xlim=(-8, 188), yticks=[])
    for shift, c, colour in zip((-4.5, -1.5, 1.5, 4.5), likeliest, (BLUE, ORANGE, GREEN, PURPLE), strict=True):
        for ax, values in ((axes[1], z), (axes[2], p)):
            ax.scatter(
                np.tile(ANGLES + shift, len(z)),
                values[:, :, c].ravel(),
                s=4,
                color=colour,
                alpha=0.4,
                lw=0,
                antialiased=False,
            )
        axes[1].plot([], [], "o", color=colour, label=f"class {c}")
    for (name, values), style in zip(measures.items(), ("-", "--", ":"), strict=True):
        axes[3].plot(ANGLES, values, style, color="black", label=name, marker=".")
    axes[1].set_ylabel("softmax inputs (nats)")
    axes[2].set_ylabel("softmax outputs")
    axes[3].set(xlabel="turned by (degrees)", ylabel="uncertainty\n(nats; the ratio: none)", xticks=ANGLES[::2])
    axes[3].legend(frameon=False, fontsize=8, loc="upper center")
    figure.legend(*axes[1].get_legend_handles_labels(), frameon=False, ncols=4, loc="outside upper center")
    columns = "answer", "its probability", *measures
    rows = [
        {"label": f"{a} degrees", "ours": dict(zip(columns, (int(m.argmax()), float(m.max()), *map(float, each))))}
        for a, m, *each in zip(ANGLES, mean, *measures.values(), strict=True)
    ]
    return {"columns": columns, "rows": rows, "figure": figure}


def surest(model, x, y, kind):
    """The image of this kind with the largest logit for it."""
    of_kind = x[y == kind]
    return of_kind[model(of_kind).data[:, kind].argmax(), 0]


TURNS = "dropout everywhere. Answer: the likeliest class of the mean. Entropy and mutual information in nats"
small_one = turning(model, surest(model, images[held_out], labels[held_out], 1), PASSES[-1], run.seed)
report.record(
    f"minidl:turned-digit{OF_SMALL}",
    f"A 1 of 8 by 8 pixels that turns: {PASSES[-1]} passes at each angle",
    **small_one,
    note=TURNS,
)
small_one["figure"]

# %% [markdown]
# Upright, the passes agree. Where the answer changes, near 30 and 150 degrees, the clouds of softmax inputs lie on one
# another; then the outputs are anywhere between 0 and 1, and all three measures are at their highest. Whoever asks once
# gets one of these answers, and at many of these angles some pass is all but certain of a wrong one.
#
# But look at 90 degrees. A 1 on its side is a 4 for this network, and it says so with little doubt. Mutual information
# tells where the passes differ; it does not know that nobody has ever shown the network such a thing. And where the
# entropy is high, most of it is not information: each pass is unsure by itself.
#
# ## At full scale
#
# MNIST, the LeNet with its own kernels of 5 by 5, ten epochs in batches of 64: ten, because the three networks then
# take some twenty-five minutes on one core. The passes over 10,000 test images take a few more.
#
#     minidl data fetch mnist
#     minidl reproduce 08 --scale full

# %%
if run.scale == "full":
    mnist, found = data.mnist(), {}
    for where in WHERE:
        model = trained(
            where, mnist.train_images, mnist.train_labels, 10, 64, 0.001, run.seed, run.state / f"trained-{where}.npz"
        )
        tests = run.cached(f"judged-{where}", lambda: judged(model, mnist.test_images, mnist.test_labels, run.seed))  # noqa: B023
        found[where] = [tests]
    figure = draw(found)
    report.record(
        "gal:bayesian-cnn",
        f"Bayesian LeNets on the {len(mnist.test_labels):,} test images of MNIST; networks of each kind: 1",
        columns=COLUMNS,
        rows=table(found),
        figure=figure,
        note=NOTE,
    )
    report.record(
        "minidl:mean-through-pooling",
        f"{FALLS}: the test images of MNIST",
        columns=BLAMED,
        rows=blamed(model, mnist.test_images, mnist.test_labels, tests, run.seed),
        note=ALL_OVER,
    )
    report.record(
        "minidl:turned-digit",
        f"A 1 of MNIST that turns: {PASSES[-1]} passes at each angle",
        **turning(model, surest(model, mnist.test_images[:1000], mnist.test_labels[:1000], 1), PASSES[-1], run.seed),
        note=TURNS,
    )

# %% [markdown]
# The kept results of the full scale, if you read this at another one:

# %%
for id in ("gal:bayesian-cnn", "minidl:mean-through-pooling", "minidl:turned-digit"):
    if full := report.kept(id):
        print(f"\n{full['title']}\n{text_table(full['columns'], full['rows'])}")
    else:
        print(f"{id}: no full-scale result is kept yet")

# %% [markdown]
# ## Exercises
#
# 1. **Predict.** In the table of pooled windows let `p = 0.9`. Write down the five means before you run. Which row does
#    not change, and why can it not? How far can standard dropout fall short of a window of four equal outputs?
# 2. **Break.** In `MeanOfMax` take the windows as `np.sort` leaves them: delete `[..., ::-1]`. The assertion stops at
#    the first window. Two of the five would have passed; which, and what do they have in common? Then mend it, delete
#    the term with `np.minimum`, and say which window objects now, before you run.
# 3. **Build.** Dropout by channels, in six lines: a `Module` made with `p` that draws one mask for each image and
#    channel, of shape `x.shape[:2]`, and keeps it at all places behind. Graded by a law: `factors` must find 1 behind
#    `pool1`, to a percent or so, since a common factor goes through a maximum. Train it by `trained(..., noise=...)`.
#    Does standard dropout catch up with the passes now? Look at the factors behind the other layers for the reason.
