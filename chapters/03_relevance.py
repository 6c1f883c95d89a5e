# %% [markdown]
# # Relevance: rules, accounts and roots
#
# **Reading time:** 35 minutes. **Needs:** from chapter 01 sections 3 to 5, from chapter 02 the network for small
# digits; the text open beside you, LRP (Bach et al. 2015): *Taylor-type decomposition* and *Pixel-wise Decomposition
# for Multilayer Networks*. The digits come with minidl.
#
# Afterwards you can
# - read a relevance rule as a list of terms, and write one of your own in three lines,
# - say for every rule which layer of a network keeps how much, and why,
# - explain by a Taylor step from a root, and say what it leaves out and which roots to mistrust,
# - send relevance through pooling that is neither mean nor maximum, and through a normalisation across channels,
# - put rules to a test by flipping pixels, and say what the test itself prefers.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from minidl import data, losses, ops, optim, report, train
from minidl.explain import heatmaps, in_chunks, lrp
from minidl.explain.gradients import deconvnet, gradient_times_input, guided_backprop, saliency
from minidl.explain.judging import Curve, flipping_curve
from minidl.explain.regions import average_regions, split_regions
from minidl.explain.rules import LinearRule, alpha_beta, basic, epsilon, flat, gamma, w_squared, z_bounded, z_plus
from minidl.explain.rules.inputs import Bounded, Squares
from minidl.explain.rules.linear import Side
from minidl.explain.rules.presets import bounded, convolutional
from minidl.explain.rules.relevance import AlphaBeta, Epsilon, Gamma
from minidl.explain.taylor import Decision, above_half, bisection, nearest_root, taylor_decomposition
from minidl.nn import Conv2d, Dense, Dropout, Flatten, LocalResponseNorm, MaxPool2d, PMeanPool2d, ReLU, Sequential
from minidl.nn.models import deeplift_mnist
from minidl.report.values import text_table

run = report.chapter(
    "03_relevance",
    minutes=35,
    law="by every rule, what the pixels get and what is kept on the way sum to the output; a Taylor step leaves its "
    "residuum",
    data={"full": ("mnist",)},
)
PURPLE, ORANGE, BLACK, GREY, GREEN, BLUE = "#5e3c99", "#e66101", "black", "0.7", "#1b7837", "#2166ac"
plt.rcParams["figure.dpi"] = 72  # small pictures keep the notebook small

# %% [markdown]
# ## 1. A rule is a list of terms
#
# Chapter 01 had the text's rules for one unit with $z_{ij} = x_i w_{ij}$ and $z_j = \sum_i z_{ij} + b_j$:
# proportional shares $\frac{z_{ij}}{z_j} R_j$ [lrp:eq56], the same with a stabiliser [lrp:eq58], and positive and
# negative contributions apart, with shares $\alpha + \beta = 1$ [lrp:eq60]. All of them have one form,
#
# $$R_{i \leftarrow j} = \frac{c_{ij}}{\sum_h c_{hj}} R_j$$
#
# (where the bias counts, it is one more $h$) and differ only in what they count as a contribution, $c_{ij}$. In minidl
# a rule says just that, as terms $(a, V)$ with $c_{ij} = \sum a_i V_{ij}$. Here are five rules whole. `r` is $R_j$,
# and a `Side` is an amount of relevance with the terms along which it is sent; alpha-beta has two. `by_sign` and
# `halves` part contributions and bias by their sign; `proportions` is $R_j / z_j$ with the stabiliser, with what is
# undefined set aside.

# %%
for rule in (Epsilon, AlphaBeta, Gamma, Bounded, Squares):
    print(f"{rule.__name__}: {rule.__doc__.splitlines()[0]}\n{inspect.getsource(rule.sides)}")
print(inspect.getsource(Side.send))

# %% [markdown]
# `Side.send` is the formula above: forward along all terms gives the denominator, the adjoint sends the quotient back.
# Since it knows the layer only by `forward` and `adjoint`, one text serves dense layers and convolutions. Gamma, $z^+$
# (as it is here, without the bias), bounded ($z^B$), flat and $w^2$ are not in the text; its successors added them.
#
# A unit to see them at work: pixels $x = (1, \frac12, 0)$ between 0 (paper) and 1 (ink), $w = (4, -2, -3)$, $b = 1$.

# %%
x, w, b = np.array([[1.0, 0.5, 0.0]]), np.array([[4.0], [-2.0], [-3.0]]), np.array([1.0])


def unit(x):
    return ops.affine(x, w, b)


RULES = {
    "basic": basic(),
    "epsilon = 1": epsilon(1),
    "alpha 2, beta -1": alpha_beta(2, -1),
    "alpha 1/2, beta 1/2": alpha_beta(0.5, 0.5),
    "gamma = 1/4": gamma(0.25),
    "z+": z_plus(),
    "zB": z_bounded(0, 1),
    "w^2": w_squared(),
    "flat": flat(),
}


def counts(rule):
    """What a rule counts at the unit: the contributions of x1, x2, x3, for each side."""
    sides = rule.sides(unit(x), unit(x), x, w, None if rule.bias == "ignore" else b)
    return " and ".join(", ".join(f"{c:g}" for c in sum(a[0] * V[:, 0] for a, V in s.terms)) for s in sides)


# %% [markdown]
# One more law can be asked of a rule. For $R_j > 0$ and a positive sum, a larger positive contribution must not get a
# smaller message [lrp:ordering]; the text says that its rules obey. We draw 20 units and 500 inputs, and look at all
# pairs $0 < z_{ij} < z_{i'j}$.

# %%
rng = np.random.default_rng(run.seed)
W, c, some, of = rng.normal(size=(6, 20)), rng.normal(size=20) / 4, rng.uniform(size=(500, 6)), np.arange(500) % 20


def disorder(rule):
    """The share of pairs 0 < z_i < z_k whose messages are in the other order."""
    e, z = lrp(lambda x: ops.affine(x, W, c), some, of, rules=rule), some * W.T[of]
    i, k = np.triu_indices(6, 1)
    asked = ((e.output > 0) & (z.sum(1) > 0))[:, None] & (z[:, i] > 0) & (z[:, k] > 0)
    return ((z[:, i] - z[:, k]) * (e.scores[:, i] - e.scores[:, k]) < -1e-12)[asked].mean()


columns = "counts", "to x1", "to x2", "to x3", "bias", "stabiliser", "sum", "pairs out of order"
rows = []
for name, rule in RULES.items():
    e = lrp(unit, x, rules=rule)
    kept = e.absorbed_as("bias")[0], e.absorbed_as("stabiliser")[0]
    values = counts(rule), *e.scores[0] + 0.0, *kept, e.scores.sum() + e.absorbed[0], disorder(rule)
    rows.append({"label": name, "ours": dict(zip(columns, values, strict=True))})
report.record(
    "minidl:one-unit",
    f"One unit with z = {unit(x).item():g}: what each rule counts, and whom it pays",
    columns=columns,
    rows=rows,
    note=f"the sum must be R = {unit(x).item():g}. Where the bias gets nothing it is not counted "
    "either: z+, zB, w^2 and flat ignore it",
)
print(f"alpha -1, beta 2: {disorder(alpha_beta(-1, 2)):.0%} of the pairs out of order")

# %% [markdown]
# Read the line of $z^B$: the paper at $x_3$ gets 1.5, though it contributes nothing. Its weight is negative, and it
# *could* have been ink; that it is not speaks for the unit. The text's example $\alpha = \beta = \frac12$ pays $x_2$
# for speaking against it. Of the rules in the table only $w^2$ breaks the ordering: it ranks inputs by their weights,
# not by what they contribute. Flat looks at neither and pays all alike, which the law allows. But the text's claim is
# too wide: it allows any $\alpha + \beta = 1$, and with $\alpha < 0$ all pairs are turned around. Nor does it hold
# where a bias turns the sign of $z_j$, which our draw leaves out.
#
# A rule of our own takes three lines. This one is `basic()` again; the second exercise breaks it.

# %%


class Ours(LinearRule):
    def sides(self, r, z, x, W, bias):
        return [Side(r, [(x, W)], bias, z)]


print("ours: ", lrp(unit, x, rules=Ours()))
print("basic:", lrp(unit, x, rules=basic()))

# %% [markdown]
# ## 2. Who keeps what: the accounts of a network
#
# The network of chapter 02, trained as there on four fifths of the small digits; nothing was chosen for this chapter.
# A second one, `pooled`, has normalisation across channels and max pooling in place of the stride; it waits for
# section 4.

# %%
images, labels = data.digits()
epochs = run.pick(smoke=1, quick=20, full=20)


def network(seed, *before, stride=2):
    rng = np.random.default_rng(seed)
    return Sequential(
        conv1=Conv2d(1, 16, 3, padding="same", rng=rng), relu1=ReLU(), **dict(before),
        conv2=Conv2d(16, 32, 3, stride=stride, padding="same", rng=rng), relu2=ReLU(), flatten=Flatten(),
        dense1=Dense(512, 64, rng=rng), relu3=ReLU(), dropout=Dropout(0.5), dense2=Dense(64, 10, rng=rng),
    )  # fmt: skip


def trained(model):
    steps = epochs * -(-len(kept) // 32)
    adam = optim.Adam(model.parameters(), optim.ExponentialDecay(0.002, 1 / 20, steps))
    train.fit(model, losses.cross_entropy, (images[kept], labels[kept]), epochs, 32, adam, run.seed, progress=False)
    print(f"{train.evaluate(model, losses.cross_entropy, images[held_out], labels[held_out])[1]:.1%} right")
    return model


kept, held_out = data.stratified_split(labels, 0.2, run.seed)
norm = LocalResponseNorm(5, alpha=1.0)
model = trained(network(run.seed))
pooled = trained(network(run.seed, ("norm", norm), ("pool", MaxPool2d(2)), stride=1))


kinds = run.pick(smoke=(8, 3), quick=(8, 3, 6, 0), full=(8, 3, 6, 0))
sure = model(images[held_out]).data * (labels[held_out, None] == np.arange(10))  # the logit of the true class
shown = held_out[sure.argmax(0)[list(kinds)]]
x, target = images[shown].astype(np.float64), labels[shown]  # laws are seen best with sixteen digits

# %% [markdown]
# `layers()` follows the relevance of one image from the output down: what arrives at a layer, what stays there, what
# goes on. First alpha-beta, then a preset for convolutional networks, a table of rules: $z^B$ in the layer that reads
# the pixels, gamma in the other convolution, epsilon above.

# %%
print(lrp(model, x, target, rules=alpha_beta(2, -1)).layers(), "\n")
for layer, rule in bounded(0, 1):
    print(getattr(layer, "__name__", layer), rule)
print(lrp(model, x, target, rules=bounded(0, 1)).layers())

# %% [markdown]
# And all rules in one table. Those that look away from $x$ or need its bounds serve in the first layer only, under the
# preset's other rules. A bias can absorb its share (eq 57), have it spread evenly over the inputs that its unit reads,
# or be ignored, left out of $z_j$ [lrp:bias-redistribution].

# %%
TABLES = {}  # of rules: (which layer, its rule), and the first that fits is taken
for name, rule in RULES.items():
    if name in ("zB", "w^2", "flat"):
        TABLES[f"{name} first"] = convolutional(first=rule)
    else:
        TABLES[name] = rule
ALSO = {"basic, bias redistributed": basic("redistribute"), "basic, bias ignored": basic("ignore")}
LAYERS = "dense2", "dense1", "conv2", "conv1"
columns = "output", *(f"{layer} keeps" for layer in LAYERS), "undefined", "pixels get", "residual, float32", "float64"
many, classes = images[held_out], labels[held_out]
rows = []
for name, rules in (TABLES | ALSO).items():
    e, single = (lrp(model, pixels, classes, rules=rules) for pixels in (many.astype(np.float64), many))
    row = (held_out == shown[0]).argmax()
    kept_by = {layer: sum(kinds.values())[row] for layer, kinds in e.absorbed_by.items()}
    undefined = e.absorbed_as("undefined")[row]
    values = e.output[row], *(kept_by.get(layer, 0) for layer in LAYERS), undefined, e.scores[row].sum()
    values += abs(single.residual).max(), abs(e.residual).max()
    rows.append({"label": name, "ours": dict(zip(columns, map(float, values), strict=True))})
report.record(
    "minidl:accounts",
    f"Where the logit of an {target[0]} goes: what each layer keeps, and what the pixels get",
    columns=columns,
    rows=rows,
    note="output = what the layers keep + what the pixels get. Kept is what biases and stabilisers absorb, and what is "
    f"undefined, whose sum has a column of its own. Residuals: the largest of {len(many)} images",
)

# %% [markdown]
# An epsilon of 1 keeps most of the logit for itself. Alpha-beta leaves relevance undefined: in the first layer there
# are units whose contributions all have one sign, and the share of the other sign has nowhere to go. With the bias
# ignored, a unit over blank paper has no contribution at all, and what arrives there is undefined; the residual in
# float32 tells how large relevances grow where denominators are small. But every line adds up: conservation does not
# choose a rule.
#
# ## 3. Roots: the Taylor step
#
# The text's other way to a sum begins with a point $x_0$ at which the network is undecided, $f(x_0) = 0$. To first
# order [lrp:eq17], [lrp:eq18],
#
# $$f(x) \approx f(x_0) + \sum_d \frac{\partial f}{\partial x_{(d)}}(x_0)\,(x_{(d)} - x_{0(d)}),
# \qquad R_d = (x - x_0)_{(d)}\,\frac{\partial f}{\partial x_{(d)}}(x_0)$$
#
# and $R_d$ is eq 53 [lrp:eq53]; its slopes come from backpropagation. What the sum misses is the *residuum*. As code,
# given a root:

# %%


def taylor(f, x, x0):
    R = (x - x0) * saliency(f, x0, 0, signed=True).scores
    return R, f(x) - f(x0) - R.sum()


# %% [markdown]
# ### Figure 3: the gradient points elsewhere
#
# The text's picture has no formula, so the landscape is ours: two hills and a hollow on a plane. The point is a square.
# Where do its coordinates get their scores from: the slope at the point, or the way to the nearest root?

# %%
CENTRES, HEIGHTS, WIDTHS = [[2.0, 0.0], [-1.0, 0.0], [0.0, -2.5]], [2.5, 1.0, -1.5], [0.8, 1.5, 1.0]
X = np.array([[0.7, -0.2]])


def hills(x):
    """Three Gaussian bumps on the plane, the last a hollow, less 0.3: (N, 2) to (N, 1)."""
    d = ops.reshape(x, (-1, 1, 2)) - np.array(CENTRES)
    bumps = ops.exp((d * d).sum(2) * (-0.5 / np.array(WIDTHS) ** 2))
    return ops.affine(bumps, np.array(HEIGHTS)[:, None], np.array([-0.3]))


((root, _),) = nearest_root()(Decision(hills, X, 0))  # a finder yields sets of roots; this one yields one set
slope, at_root = (saliency(hills, point, 0, signed=True).scores[0] for point in (X, root))
by_hand, residuum = taylor(hills, X, root)
explained = taylor_decomposition(hills, X, 0, roots=nearest_root())
print("by hand:   ", by_hand[0], " residuum", residuum.item())
print("by library:", explained.scores[0], " law:", explained)

# %%
rng = np.random.default_rng(run.seed)
dots = rng.uniform((-3.4, -3.2), (3.8, 2.6), (130, 2))
grid = np.stack(np.meshgrid(np.linspace(-3.6, 4, 153), np.linspace(-3.4, 2.8, 125)), -1)
value = hills(grid.reshape(-1, 2)).reshape(grid.shape[:2])
figure, axes = plt.subplots(1, 2, figsize=(9, 3.9), sharey=True, layout="constrained")


def arrow(ax, start, way, colour, name, lw=2.2):
    look = {"arrowstyle": "-|>", "color": colour, "lw": lw, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", start + way, start, arrowprops=look)
    ax.plot([], [], color=colour, lw=lw, label=name)


for ax, title in zip(axes, ("gradient at the point", "Taylor from the nearest root"), strict=True):
    levels = ax.contourf(grid[..., 0], grid[..., 1], value, levels=np.linspace(-2.4, 2.4, 13), cmap="PuOr_r", alpha=0.6)
    ax.contour(grid[..., 0], grid[..., 1], value, levels=[0], colors=BLACK, linestyles="--")
    for side, colour in ((dots[hills(dots)[:, 0] > 0], GREEN), (dots[hills(dots)[:, 0] < 0], BLUE)):
        ax.plot(side[:, 0], side[:, 1], ".", color=colour, ms=4)
    ax.plot(*X[0], "s", color=BLACK, ms=7)
    ax.set(title=title, xlabel="$x_1$", aspect="equal")
arrow(axes[0], X[0], slope, BLACK, "$Df(x)$")
arrow(axes[1], root[0], at_root, BLACK, "$Df(x_0)$", lw=5)
axes[1].plot(*np.concatenate([root, X]).T, "--", color="#e41a1c", lw=2.2, zorder=6, label="$x - x_0$, the way")
arrow(axes[1], X[0], explained.scores[0], "#e41a1c", "$R = (x - x_0)\\, Df(x_0)$")
axes[1].plot(*root[0], "^", color=BLACK, ms=9, zorder=7, label="nearest root $x_0$")
axes[0].set_ylabel("$x_2$")
for ax in axes:
    ax.legend(fontsize=7, loc="lower right")
figure.colorbar(levels, ax=axes, shrink=0.8, ticks=[-2, 0, 2]).set_label("$f(x)$")


def angle(a, b):
    return np.degrees(np.arccos((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)))


way = (X - root)[0]
columns = "x1", "x2", "share of x1", "sum", "must be", "angle to the nearest way (degrees)"
report.record(
    "lrp:fig3",
    "A gradient need not point to the boundary",
    columns=columns,
    rows=[
        {"label": label, "ours": dict(zip(columns, (*v, abs(v[0]) / abs(v).sum(), *more), strict=True))}
        for label, v, more in (
            ("gradient at x", slope, (None, None, angle(slope, way))),
            ("gradient at the root", at_root, (None, None, angle(at_root, way))),
            ("Taylor", explained.scores[0], (explained.scores.sum(), explained.output[0], None)),
        )
    ],
    figure=figure,
    note="square: the point; dots: green f > 0, blue f < 0; black dashes: the boundary f = 0. The "
    "text's figure has no numbers and no formula; the landscape is ours. "
    "The gradient gives most to x1, for the higher hill stands there; the other class is near along x2",
)

# %% [markdown]
# ### Roots of a network
#
# For a digit $f$ is a difference of two logits, $f = z_8 - z_3$: the network is undecided between 8 and 3 where it is
# 0. Any image on the other side gives a root on the way there, by halving the way (the text prints "interval
# intersection"). We take 50 threes of the training part, so each 8 gets 50 roots. The text suggests to take the way to
# the closest one, to average over roots, or to keep those with the smallest residuum. And there is the root *nearest*
# to the 8.

# %%
EIGHT_OR_THREE = np.eye(10)[8] - np.eye(10)[3]
COLUMNS = "missing / f(x)", "largest |f(x0)|", "distance / |x|", "largest change of a pixel"


def decided(model, x, sign, count):
    """The first images of these that the model takes for an 8 rather than a 3 (sign 1), or the other way round (-1)."""
    return x[sign * (model(x).data @ EIGHT_OR_THREE) > 0][:count].astype(np.float64)


def roots_of(model, x, others):
    """By name: roots for each row of x, (R, N, ...)."""
    f, rows = Decision(model, x, EIGHT_OR_THREE), range(len(x))
    roots = np.stack([points for points, _ in bisection(others)(f)])
    residua = [abs(taylor_decomposition(model, x, EIGHT_OR_THREE, roots=points).residual) for points in roots]
    best = np.take_along_axis(roots, np.argsort(residua, 0)[:, :, None, None, None], 0)
    closest = np.linalg.norm((others[:, None] - x).reshape(len(others), len(x), -1), axis=2).argmin(0)
    ((nearest, _),) = nearest_root(steps=200, tolerance=1e-3)(f)
    return {
        "on the way to the closest 3": roots[closest, rows][None],
        f"on the way to all of {len(others)}": roots,
        "of these the 5 with the smallest residuum": best[:5],
        "of these the 1 with the smallest residuum": best[:1],
        "the nearest root": nearest[None],
    }


def missing(model, x, by_name):
    """Rows for the record: what the scores miss of f(x), and how far off the roots are; means over the images."""
    size, rows = np.linalg.norm(x.reshape(len(x), -1), axis=1), []
    for label, points in by_name.items():
        e = taylor_decomposition(model, x, EIGHT_OR_THREE, roots=points)
        d = np.linalg.norm((points - x).reshape(len(points), len(x), -1), axis=2) / size
        change = abs(points - x).max((2, 3, 4)).mean()
        values = abs(e.residual / e.output).mean(), abs(e.reference_output).max(), d.mean(), change
        rows.append({"label": label, "ours": dict(zip(COLUMNS, map(float, values), strict=True))})
    e = lrp(model, x, EIGHT_OR_THREE, rules=basic())
    return [*rows, {"label": "LRP, basic: the bias", "ours": {COLUMNS[0]: float(abs(e.absorbed / e.output).mean())}}]


eights = decided(model, many[classes == 8], 1, run.pick(smoke=2, quick=16, full=16))
threes = decided(model, images[kept[labels[kept] == 3]], -1, run.pick(smoke=3, quick=50, full=50))
roots = roots_of(model, eights, threes)
report.record(
    run.pick(smoke="minidl:roots", quick="minidl:roots", full="minidl:roots-digits"),
    f"Taylor from roots between 8 and 3: what the scores miss ({len(eights)} eights of 8 by 8 pixels)",
    columns=COLUMNS,
    rows=missing(model, eights, roots),
    note="missing: the residuum, for LRP what the biases absorb; absolute values over f(x). Pixels lie between 0 and 1",
)
print("in one call:", taylor_decomposition(model, eights[:1], EIGHT_OR_THREE, roots=bisection(threes), keep=5))

# %% [markdown]
# A ReLU network is linear in pieces, and would leave no residuum if no unit switched between root and image. But units
# do switch. Averaging does not help, for the residua of one image do not cancel. To choose roots by their residuum
# makes it small, as it must; these roots are not closer than the others. The nearest root is, by half, and still leaves
# a third. Here are three of the eights, their roots, and the scores.

# %%
top = np.argsort(-(model(eights).data @ EIGHT_OR_THREE))[: run.pick(smoke=1, quick=3, full=3)]
x8, (closest, every, _, _, nearest) = eights[top], (points[:, top] for points in roots.values())
maps = {
    "on the way\nto a 3": taylor_decomposition(model, x8, EIGHT_OR_THREE, roots=closest),
    "mean over\nall roots": taylor_decomposition(model, x8, EIGHT_OR_THREE, roots=every),
    "nearest root": taylor_decomposition(model, x8, EIGHT_OR_THREE, roots=nearest),
    "LRP, basic": lrp(model, x8, EIGHT_OR_THREE, rules=basic()),
}
figure, axes = plt.subplots(len(x8), 8, figsize=(9.6, 1.25 * len(x8) + 0.4), layout="constrained", squeeze=False)
for k, line in enumerate(axes):
    line[0].set_ylabel(f"f = {maps['LRP, basic'].output[k]:.1f}", fontsize=8)
    for ax, picture in zip(line, (x8[k, 0], closest[0, k, 0], nearest[0, k, 0]), strict=False):
        ax.imshow(picture, cmap="Greys", vmin=0, vmax=1)
    line[3].imshow(nearest[0, k, 0] - x8[k, 0], cmap=heatmaps.COLOURS, vmin=-1, vmax=1)
    for ax, e in zip(line[4:], maps.values(), strict=True):
        ax.imshow(heatmaps.normalise(e.scores)[k, 0], cmap=heatmaps.COLOURS, vmin=-1, vmax=1)
        ax.set_xlabel(f"sum {e.scores[k].sum():.1f}", fontsize=7, labelpad=1)
names = "the 8", "root on the\nway to a 3", "nearest\nroot", "its change", *maps
for ax, name in zip(axes[0], names, strict=True):
    ax.set_title(name, fontsize=8)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
report.record(
    "minidl:roots-seen",
    "Why an 8 rather than a 3? Roots, and scores from them",
    figure=figure,
    note="its change: orange ink is added, purple ink taken away. In the scores orange speaks for the "
    "8. The sums should be f: Taylor's miss it by the residuum, LRP's by what biases keep",
)

# %% [markdown]
# The nearest root still resembles its 8, though for the network it is half a 3. The text warns that such roots give
# decompositions without information; we would say, they explain why the network minds a change that we hardly see, not
# what makes an 8. A root on the way to a 3 is a blend of two digits such as nobody writes; the text warns of these
# too. LRP needs no second point.
#
# ### A probability has no root
#
# A probability is never 0, but it has a state of greatest uncertainty. So it is explained after 0.5 is taken away
# [lrp:probability-offset]. A sigmoid on the neuron of chapter 00, $z = 3 x_1 - x_2 - 1$, at $x = (2, 1)$:

# %%


def probability(x):
    return ops.sigmoid(ops.affine(x, np.array([[3.0], [-1.0]]), np.array([-1.0])))


point = np.array([[2.0, 1.0]])
try:
    taylor_decomposition(probability, point, 0, roots=bisection(np.random.default_rng(run.seed).normal(size=(99, 2))))
except ValueError as error:
    print("without the offset:", error)
print("with it:           ", taylor_decomposition(probability, point, above_half(0), roots=nearest_root()))

# %% [markdown]
# The scores sum to 1, twice what there is to explain: at the root the sigmoid rises with slope 1/4, so $z = 4$ is
# foretold as 1, but a probability can rise by one half only. Saturation makes the residuum; explain the logit if you
# can.
#
# ## 4. Between mean and maximum, and a layer outside the scheme
#
# Pooling by $p$-means [lrp:eq19],
#
# $$x_{(d)} = \Bigl(\frac1M \sum_{j=1}^M m_{(d)}(l_j)^p\Bigr)^{1/p}$$
#
# is the mean at $p = 1$ (the text says sum, which is the same up to $1/M$) and tends to the maximum. It has the form
# $g(\sum_i h_i(x_i))$, so element $i$ of the window gets the share $x_i^p / \sum_h x_h^p$, and in the limit all goes
# to the winner [lrp:eq32]. (The same shares return in bag-of-words models, eq 31, where the elements are local
# features.) We put other pools into the trained network `pooled`; its parameters stay.

# %%
CHILDREN = pooled.children()


def with_pool(p):
    return Sequential(**{**CHILDREN, "pool": PMeanPool2d(2, p=p)})


hidden = norm(pooled.relu1(pooled.conv1(x))).data
windows = np.stack([hidden[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])  # (4, N, 16, 4, 4)
busy = np.unravel_index(np.sort(windows, 0)[0].argmax(), windows.shape[1:])  # where even the least is large
window = np.sort(windows[:, *busy])[::-1].reshape(1, 1, 2, 2)
powers = 2.0 ** np.arange(run.pick(smoke=3, quick=7, full=7))
limit, rows, shares, apart = lrp(pooled, x, target, rules=basic()), [], [], []
columns = "share of the largest", "2nd", "3rd", "least", "right on held-out", "distance from max's map", "residual"
for p in powers:
    small = lrp(lambda x, p=p: ops.reshape(ops.power_mean_pool2d(x, 2, p=p), (-1, 1)), window, 0)
    shares.append(small.scores.ravel() / small.output)
    e = lrp(with_pool(p), x, target, rules=basic())
    apart.append(abs(e.scores - limit.scores).sum() / abs(limit.scores).sum())
    right = train.evaluate(with_pool(p), losses.cross_entropy, many, classes)[1]
    values = *shares[-1], right, apart[-1], abs(e.residual).max()
    rows.append({"label": f"p = {p:g}", "ours": dict(zip(columns, map(float, values), strict=True))})
right = train.evaluate(pooled, losses.cross_entropy, many, classes)[1]
values = 1, 0, 0, 0, right, 0, abs(limit.residual).max()
rows.append({"label": "maximum", "ours": dict(zip(columns, map(float, values), strict=True))})

figure, axes = plt.subplots(1, 2, figsize=(8.4, 3), layout="constrained")
looks = ("o-", ORANGE), ("o--", PURPLE), ("o-.", GREEN), ("o:", BLACK)
for element, share, (style, colour) in zip(window.ravel(), np.transpose(shares), looks, strict=True):
    axes[0].semilogx(powers, share, style, color=colour, base=2, ms=4, label=f"x = {element:.2f}")
axes[0].set(title="one window of the network", ylabel="share of the relevance")
axes[0].legend(fontsize=8)
axes[1].loglog(powers, apart, "o-", color=ORANGE, base=2, ms=4)
axes[1].set(title="heatmaps against max pooling's", ylabel="sum |difference| / sum |score|")
for ax in axes:
    ax.set_xlabel("exponent p of the pooling")
report.record(
    "lrp:eq32",
    "From mean to maximum: who gets a window's relevance",
    columns=columns,
    rows=rows,
    figure=figure,
    note="a window in which even the least element is large. The network was trained with max pooling, so its accuracy "
    "suffers where p is small",
)

# %% [markdown]
# Conservation holds at every $p$. Two shares differ by the factor $(x_1 / x_2)^p$: in this window the winner has
# nearly all from $p = 32$ on, but where two elements are closer the limit is further off, as the heatmaps show.
#
# ### Local renormalisation: a Taylor step on the neuron
#
# $y_j = x_j\,/\,(k + \frac{\alpha}{n} \sum_{i \in W_j} x_i^2)^{\beta}$ divides each channel by the activity around it.
# That is no $g(\sum_i h_i(x_i))$, and the text proposes a Taylor step on the activation itself
# [lrp:local-renormalisation]. minidl takes it at $x$, towards 0: $R_j$ goes to the inputs in proportion to
# $\frac{\partial y_j}{\partial x_i} x_i$. Three channels, $x = (3, 1, 2)$; we explain $y_2$, with more and more
# inhibition $\alpha$.

# %%
channels, rows = np.array([[3.0, 1.0, 2.0]]), []
columns = "y2", "term of x1", "of x2", "of x3", "to x1", "to x2", "to x3", "sum"
for alpha in (0.0, 0.1, 1.0):

    def normalise(x, alpha=alpha):
        return ops.local_response_norm(x, 3, alpha, 0.75, 1.0)

    terms = saliency(normalise, channels, 1, signed=True).scores * channels
    e = lrp(normalise, channels, 1)
    values = e.output[0], *terms[0], *e.scores[0] + 0.0, e.scores.sum()
    rows.append({"label": f"alpha = {alpha:g}", "ours": dict(zip(columns, map(float, values), strict=True))})
report.record(
    "minidl:renormalisation",
    "Relevance of one normalised channel",
    columns=columns,
    rows=rows,
    note="messages are the terms, scaled so that they sum to y2. With strong inhibition the terms sum to less than 0, "
    "and all signs turn",
)
print(lrp(pooled, x, target, rules=epsilon(1e-6)).layers())

# %% [markdown]
# Neighbours hold the channel down, so they count against it. In the account of `pooled`, conv2 passes on what arrives
# at conv1: pooling and normalisation keep nothing. But mistrust the step where inhibition is strong: in the last line
# of the table the channel's own relevance is negative, though it alone makes $y_2$ positive.
#
# ## 5. Heatmaps, and a test by flipping
#
# Rules on real digits, each image for its own class:

# %%


def all_heatmaps(model, x, target):
    explained = [lrp(model, x, target, rules=rules) for rules in TABLES.values()]
    titles = [name.replace(", ", ",\n").replace(" first", "\nfirst") for name in TABLES]
    return heatmaps.plot(explained, images=x, titles=titles, row_titles=[f"why {t}?" for t in target], size=1.0)


figure = all_heatmaps(model, x, target)
report.record(
    run.pick(smoke="minidl:rule-heatmaps", quick="minidl:rule-heatmaps", full="minidl:rule-heatmaps-digits"),
    "Every rule on the same digits (8 by 8)",
    figure=figure,
    note="scaled by image. Flat in the first layer is as coarse as that layer; zB colours paper as well as ink",
)
figure

# %% [markdown]
# The text announces results on MNIST [lrp:mnist], but the section is lost in our copy, so what follows is our own
# protocol. Flip the pixels in the order of their scores, the highest first, and watch the logit of the class that the
# network had chosen. Good scores make it fall early; with the lowest first, late. To flip can mean to *invert* a pixel,
# ink to paper and paper to ink, or to *erase* it. We measure the area over the curve: the mean drop of the logit, in
# nats. Nothing is fitted, and all held-out images take part.

# %%
METHODS = {f"LRP, {name}": lambda m, x, t, rules=rules: lrp(m, x, t, rules=rules) for name, rules in TABLES.items()}
METHODS |= {
    "gradient * input": gradient_times_input,
    "gradient": lambda m, x, t: saliency(m, x, t, signed=True),
    "|gradient|": saliency,
    "deconvnet": deconvnet,
    "guided backprop": guided_backprop,
}
RANDOM = "random order"
FILLS = {"invert": "invert", "erase": 0.0}


def flipped(model, x, target, name, fill, steps):
    """The logit while pixels are flipped: fractions (S+1,), values with the highest and the lowest first (N, S+1)."""
    scores = x if name == RANDOM else in_chunks(METHODS[name], model, x, target).scores
    orders = ("random", "random") if name == RANDOM else ("highest", "lowest")
    curves = [
        flipping_curve(model, x, scores, target, order=order, steps=steps, fill=FILLS[fill], rng=run.seed)
        for order in orders
    ]
    return {"fractions": curves[0].fractions, "highest": curves[0].values, "lowest": curves[1].values}


def test_by_flipping(model, x, steps, cached=lambda name, step: step()):
    """All methods on these images: {(fill, name): curves}."""
    target, found = model(x).data.argmax(1), {}
    for k, (fill, name) in enumerate(tqdm([(fill, name) for fill in FILLS for name in (RANDOM, *METHODS)], "flipping")):
        found[fill, name] = cached(f"flipped-{k}", lambda: flipped(model, x, target, name, fill, steps))  # noqa: B023
    return found


def areas(found):
    """Rows for the record: mean areas over the curve, and the standard error with the highest first."""
    rows = []
    for name in (RANDOM, *METHODS):
        ours = {}
        for fill in FILLS:
            c = found[fill, name]
            high, low = (Curve(c["fractions"], c[order]).area for order in ("highest", "lowest"))
            ours |= {f"{fill}: highest": high.mean(), f"{fill}: +-": high.std(ddof=1) / len(high) ** 0.5}
            ours |= {} if name == RANDOM else {f"{fill}: lowest": low.mean()}
        rows.append({"label": name, "ours": {column: float(value) for column, value in ours.items()}})
    return rows


def draw(found):
    """Mean curves, the highest first, with a band of two standard errors to either side."""
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.6), layout="constrained", sharey=True)
    looks = (
        (RANDOM, GREY, "-"), ("LRP, basic", ORANGE, "-"), ("LRP, alpha 2, beta -1", GREEN, "-."),
        ("LRP, zB first", PURPLE, "-"), ("gradient", BLACK, ":"), ("|gradient|", BLUE, "--"),
    )  # fmt: skip
    for ax, fill in zip(axes, FILLS, strict=True):
        for name, colour, style in looks:
            c = found[fill, name]
            mean, error = c["highest"].mean(0), c["highest"].std(0, ddof=1) / len(c["highest"]) ** 0.5
            ax.fill_between(c["fractions"], mean - 2 * error, mean + 2 * error, color=colour, alpha=0.2, lw=0)
            ax.plot(c["fractions"], mean, style, color=colour, lw=2, label=name)
        ax.set(title=f"to flip is to {fill}", xlabel="share of the pixels flipped")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("logit of the class (nats)")
    axes[1].legend(fontsize=8)
    return figure


AREAS = [f"{fill}: {what}" for fill in FILLS for what in ("highest", "+-", "lowest")]
NOTE = (
    "our protocol; the text's numbers are lost. Area over the curve: with the highest scores first more is better, "
    "with the lowest less. Bands and +-: two and one standard errors over the images"
)
flips = test_by_flipping(model, many[: run.pick(smoke=20, quick=None, full=None)], run.pick(smoke=4, quick=16, full=16))
figure = draw(flips)
report.record(
    run.pick(smoke="lrp:mnist", quick="lrp:mnist", full="minidl:flipping-digits"),
    f"Flipping pixels by their scores: mean drop of the logit in nats ({len(many)} digits of 8 by 8; not yet MNIST)",
    columns=AREAS,
    rows=areas(flips),
    figure=figure,
    note=NOTE,
)

# %% [markdown]
# The winner depends on what it means to flip. Where paper turns into ink, $z^B$ leads, for it counts what paper might
# have been. The signed gradient is worse than chance: it ranks first where more ink would help, and inverting paper
# brings that ink. Where pixels are only erased, the basic rule leads (with gradient times input, which is the same
# thing on this network), and the absolute gradient falls behind. The text's example $\alpha = \beta = \frac12$ comes
# last of the rules there. So a flipping curve judges a pair: the scores, and what it means to flip. Whoever shows one
# of the two columns alone can choose the winner.
#
# ### One heatmap from many regions
#
# A large image can be explained by parts: classify sub-regions one by one, and average the scores where regions
# overlap [lrp:sub-regions]. Nine held-out digits, with paper between them. Where is a 3? We explain the logit of 3 less
# the mean of all ten, by gamma.

# %%
rng = np.random.default_rng(run.seed)
board = np.array([[3, 8, 1], [0, 3, 5], [9, 6, 3]])
tiles = [[images[rng.choice(held_out[labels[held_out] == kind]), 0] for kind in line] for line in board]
picture = np.block([[np.pad(tile, ((0, 4), (0, 4))) for tile in line] for line in tiles])[None, :-4, :-4]
figure, axes = plt.subplots(1, 4, figsize=(9.6, 2.6), layout="constrained")
axes[0].imshow(picture[0], cmap="Greys")
axes[0].set_title("the picture", fontsize=9)
columns = "regions", "image's sum", "regions' sum", "a 3 has, mean", "another digit has, mean"
rows = []
for ax, stride in zip(axes[1:], (12, 6, 2), strict=True):
    regions, corners = split_regions(picture, 8, stride)
    e = lrp(model, regions, np.eye(10)[3] - 1 / 10, rules=gamma(0.25))
    scores = average_regions(e.scores, corners, picture.shape)
    of_digit = np.array([[scores[0, i : i + 8, j : j + 8].sum() for j in (0, 12, 24)] for i in (0, 12, 24)])
    values = len(regions), scores.sum(), e.scores.sum(), of_digit[board == 3].mean(), of_digit[board != 3].mean()
    rows.append({"label": f"stride {stride}", "ours": dict(zip(columns, values, strict=True))})
    drawn = ax.imshow(heatmaps.normalise(scores, "set")[0], cmap=heatmaps.COLOURS, vmin=-1, vmax=1)
    ax.set_title(f"{len(regions)} regions, stride {stride}", fontsize=9)
for ax in axes:
    ax.set(xticks=[], yticks=[])
figure.colorbar(drawn, ax=axes, ticks=[-1, 0, 1]).set_label("score / largest |score|", fontsize=8)
report.record(
    "minidl:sub-regions",
    "Where is a 3? One heatmap from regions of 8 by 8 pixels",
    columns=columns,
    rows=rows,
    figure=figure,
    note="orange speaks for a 3. Where regions do not overlap, the image's scores sum to those of all "
    "regions; an average does not",
)

# %% [markdown]
# With one region for each digit the threes stand out. Of 169 regions most cut digits in two; the network has never seen
# such pictures, and its answers to them wash the heatmap out.
#
# ## 6. MNIST, at full scale
#
# The text's own digits: the network with two convolutions from section 4.1 of DeepLIFT, trained as in chapter 02, the
# first 1000 test images, 50 steps. Training and test run with
#
#     minidl data fetch mnist
#     minidl reproduce 03 --scale full
#
# and go on where they were, should they be killed. What they gave is kept in `chapters/results/`.

# %%
if run.scale == "full":
    mnist = data.mnist()
    mnist_model = deeplift_mnist(run.seed)
    adam = optim.Adam(mnist_model.parameters(), optim.ExponentialDecay(0.001, 1 / 20, 20 * 469))
    train.fit(
        mnist_model, losses.cross_entropy, (mnist.train_images, mnist.train_labels), 20, 128, adam, run.seed,
        checkpoint=run.state / "mnist.npz",
    )  # fmt: skip
    pixels, classes = mnist.test_images[:1000], mnist.test_labels[:1000]
    chosen = mnist_model(pixels).data.argmax(1)
    print(f"right on the first 1000 test images: {(chosen == classes).mean():.1%}")
    ten = [((chosen == kind) & (classes == kind)).argmax() for kind in range(10)]
    report.record(
        "minidl:rule-heatmaps",
        "Every rule on the same digits (MNIST)",
        figure=all_heatmaps(mnist_model, pixels[ten], classes[ten]),
        note="of each class the first test image that the network gets right; scaled by image",
    )
    eights = decided(mnist_model, pixels[classes == 8], 1, 16)
    threes = decided(mnist_model, mnist.train_images[mnist.train_labels == 3][:60], -1, 50)
    report.record(
        "minidl:roots",
        f"Taylor from roots between 8 and 3: what the scores miss ({len(eights)} eights of MNIST)",
        columns=COLUMNS,
        rows=missing(mnist_model, eights, run.cached("roots", lambda: roots_of(mnist_model, eights, threes))),
        note="missing: the residuum, for LRP what the biases absorb; absolute values over f(x)",
    )
    flips = test_by_flipping(mnist_model, pixels, 50, run.cached)
    report.record(
        "lrp:mnist",
        f"Flipping pixels by their scores: mean drop of the logit in nats ({len(pixels)} test images of MNIST)",
        columns=AREAS,
        rows=areas(flips),
        figure=draw(flips),
        note=NOTE,
    )

# %% [markdown]
# The kept results of the full scale, if you read this at another one:

# %%
for id in ("minidl:roots", "lrp:mnist"):
    if full := report.kept(id):
        print(f"\n{full['title']}\n{text_table(full['columns'], full['rows'])}")
    else:
        print(f"{id}: no full-scale result is kept yet")

# %% [markdown]
# What holds on both: where pixels are erased, the basic rule leads; the absolute gradient and the text's $\alpha =
# \beta = \frac12$ fall behind. Where they are inverted, the signed gradient is worse than chance. What does not: on
# MNIST the absolute gradient, not $z^B$, has the largest area over the curve when pixels are inverted. Four fifths of
# such an image are paper. In the first steps the basic rule is ahead; the area is decided later, between a tenth and a
# half of the pixels. There the absolute gradient brings the logit below zero, $z^B$ lets it rise again, and even a
# random order overtakes most rules: so much new ink is no digit any more. Such an area says more of the flipping than
# of the scores. With the lowest first $z^B$ stays ahead, as before. And deconvnet, which did well enough on the small
# digits when pixels were erased, falls furthest behind on MNIST.
#
# The roots on MNIST are better. Five of fifty, chosen by their residuum, miss 3 % of $f$, and the nearest root misses
# 14 %. To get there the 8 changes by a seventh of its size: nearly the same picture, which the text warns of.
#
# ## Exercises
#
# 1. **Predict.** In section 1 let the third pixel be ink, $x = (1, \frac12, 1)$. Write down $z$, and what the basic
#    rule, alpha-beta with $(2, -1)$ and $z^B$ pay to each input and to the bias, before you change `x` and run. One of
#    the three pays $x_3$ nothing: which, and what would $x_3$ have to be to earn something there?
# 2. **Break.** In `Ours` put `None` in the place of `bias`. Which residual does `print("ours: ", ...)` show, and which
#    number in the line below it is that? Then leave `z` out too: `Side(r, [(x, W)])`. The law holds again. Run
#    `print(lrp(model, x, target, rules=Ours()))` after section 2 and find the line of its table that your rule has
#    become.
# 3. **Build.** Write `class Blind(LinearRule)` in four lines: every input counts by $|x_i w_{ij}|$, and the bias is
#    ignored (`bias = "ignore"`). It is the text's eq 4, the decomposition that is conserved and explains nothing.
#    Graded by the law on `unit` (residual 0) and by eq 4, which pays $(3.2, 0.8, 0)$ there. Then add it to `METHODS`
#    and run the test by flipping: what does it lose to the basic rule when pixels are erased?
