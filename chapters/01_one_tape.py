# %% [markdown]
# # One tape: how the three passes work
#
# **Reading time:** half an hour. **Needs:** chapter 00; the two texts open beside you: LRP (Bach et al. 2015) up to eq
# 16 and eqs 50 to 63, DeepLIFT (Shrikumar et al. 2017) section 3.
#
# Afterwards you can
# - say what the tape records, and write each of the three passes in five lines,
# - compute every message of LRP's figure 2, and account for what biases and stabilisers take,
# - explain by numbers why DeepLIFT's figures 1, 2 and 3 embarrass gradients, and which rule mends which figure,
# - say for each law what would break it.

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

from minidl import Tensor, draw, grad, ops, report
from minidl.explain import deeplift, gradient_times_input, lrp, saliency
from minidl.explain.multipliers import Multipliers
from minidl.explain.rules import NonlinearityRule, alpha_beta, basic, epsilon, rescale, reveal_cancel
from minidl.explain.table import Table
from minidl.ops.arithmetic import Gate, Product
from minidl.ops.elementwise import Relu
from minidl.ops.linear import Affine
from minidl.ops.signals import Delta, Pair
from minidl.tape import BY_TABLE, Tape, raw, replay

run = report.chapter(
    "01_one_tape", minutes=30, law="every pass keeps its books: messages, contributions and what was absorbed"
)
PURPLE, ORANGE, BLACK, GREY = "#5e3c99", "#e66101", "black", "0.7"
plt.rcParams["figure.dpi"] = 85  # small pictures keep the notebook small

# %% [markdown]
# ## 1. The tape
#
# Call a function of our operations with a `Tensor`, and each operation leaves a node behind: its output, itself, and
# its inputs. That is the tape; little else is stored.

# %%
W, b = np.array([[3.0, 1.0], [-1.0, 2.0]]), np.array([-1.0, -5.0])
V = np.array([[2.0], [1.0]])
x = Tensor([[2.0, 1.0]])
h = ops.relu(ops.affine(x, W, b))
y = ops.affine(h, V)
for node in reversed(Tape(y, [x], "gradient").order):
    print(f"{node.op or 'input'!s:8} -> {node.data[0]}")

# %% [markdown]
# The same tape as a picture, inputs on top, coloured by the gradient at each node (orange above zero, purple below).
# In a notebook a tensor that ends a cell draws itself.

# %%
slopes = {node: grad(y, node) for node in Tape(y, [x], "gradient").order}
report.record("minidl:tape", "The tape of a small network", figure=draw.to_svg(y, signal=slopes))
y

# %% [markdown]
# An operation is a small class with its rules one under the other. Here is the product of two signals: `g`, `r` and `m`
# are what comes from above (gradient, relevance, multiplier), and each rule returns one share for each input.

# %%
print(inspect.getsource(Product))
print(inspect.getsource(Gate.relevance))

# %% [markdown]
# A ReLU writes only its formula and its slope; what it does with relevance (pass it on) and with multipliers (ask the
# user's table: Rescale or RevealCancel?) it shares with all functions of one number. The affine operation shares its
# rules with the convolution.

# %%
print(inspect.getsource(Relu))
print(inspect.getsource(Affine.gradient))

# %% [markdown]
# ## 2. A pass is a function
#
# A pass takes a node and the signal that reached it, and returns the shares for its inputs. The walk calls it node by
# node, from the output down, and adds shares where paths meet. So each pass is some five lines. These do what the
# library does, without its tables of rules and its ledger.

# %%


def gradient(node, g):
    return node.op.gradient(g, node.data, *map(raw, node.inputs))


def relevance(node, R, rule=basic()):
    values = [node.data, *map(raw, node.inputs)]
    return rule(node.op, R, *values) if node.op.relevance is BY_TABLE else node.op.relevance(R, *values)


def multiplier(node, m, rule=rescale()):
    values = [Delta(raw(i), reference[i] if isinstance(i, Tensor) else i) for i in (node, *node.inputs)]
    return (rule.multiplier(node.op, m, *values),) if node.op.multiplier is BY_TABLE else node.op.multiplier(m, *values)


g = Tape(y, [x, h], "gradient").walk(np.ones((1, 1)), gradient)
R = Tape(y, [x, h], "relevance").walk(y.data, relevance)
tape = Tape(y, [x, h], "multiplier")
reference = replay(tape, {x: np.zeros((1, 2)), h: ops.relu(b)[None]})
m = tape.walk(Pair(np.ones((1, 1)), np.ones((1, 1))), multiplier)
print("at h:  gradient", g[h][0], " relevance", R[h][0], " multiplier", m[h].pos[0])
print("at x:  gradient", g[x][0], " relevance", R[x][0], " multiplier", m[x].pos[0])


def model(x):
    return ops.affine(ops.relu(ops.affine(x, W, b)), V)


theirs = grad(y, x), lrp(model, x, rules=basic()).scores, deeplift(model, x, reference=0.0).scores
for name, mine, library in zip(
    ("gradient", "relevance", "contribution"), (g[x], R[x], m[x].pos * x.data), theirs, strict=True
):
    print(f"{name:12} by our own pass {mine[0]}, by the library {library[0]}")

# %% [markdown]
# ## 3. LRP: conservation, and why it is not enough
#
# Relevance is to be conserved from layer to layer,
# $f(x) = \dots = \sum_{d \in l+1} R_d^{(l+1)} = \sum_{d \in l} R_d^{(l)} = \dots$ [lrp:eq2]. The text warns at once
# that this alone explains nothing. Take its linear classifier over feature maps,
# $f(x) = b + \sum_d \alpha_d \phi_d(x_d)$ [lrp:eq3], with $\phi_d(x_d) = x_d^2$. Two decompositions, both conserved:
#
# $$R_d = f(x)\,\frac{|\alpha_d \phi_d|}{\sum_d |\alpha_d \phi_d|}$$
#
# and
#
# $$R_d = \frac{b}{V} + \alpha_d \phi_d(x_d)$$
#
# The first [lrp:eq4] is blind to signs; the second [lrp:eq5] is minidl's basic rule with the bias spread evenly over
# its inputs.

# %%
alpha, bias = np.array([4.0, -1.0, 1.0]), np.array([2.0])
point = np.array([[1.0, 2.0, -1.0]])


def classifier(x):
    return ops.affine(x**2, alpha[:, None], bias)


f = classifier(point).item()
terms = alpha * point[0] ** 2
blind = f * abs(terms) / abs(terms).sum()
linear = bias / 3 + terms
by_tape = lrp(classifier, point, rules=basic("redistribute"))
print("law of the second:", by_tape)

# %%
report.record(
    "lrp:eq4",
    "Two decompositions of one linear classifier: both are conserved, one explains",
    columns=("term", "eq 4", "eq 5", "eq 5 by the tape"),
    rows=[
        *(
            {"label": f"x{d + 1}", "ours": {"term": t, "eq 4": s, "eq 5": e, "eq 5 by the tape": r}}
            for d, (t, s, e, r) in enumerate(zip(terms, blind, linear, by_tape.scores[0], strict=True))
        ),
        {"label": "sum", "ours": {"eq 4": blind.sum(), "eq 5": linear.sum(), "eq 5 by the tape": by_tape.scores.sum()}},
    ],
    note="x2 speaks against the class (term -4); eq 4 counts it in favour. The text prints no numbers here.",
)

# %% [markdown]
# ## 4. LRP's figure 2: seven neurons, every message
#
# Neuron $k$ sends to its input $i$ the message
#
# $$R_{i \leftarrow k} = R_k\,\frac{a_i w_{ik}}{\sum_h a_h w_{hk}}$$
#
# [lrp:eq16]. A neuron's relevance is the sum of what it receives, $R_i = \sum_k R_{i \leftarrow k}$ [lrp:eq8], and all
# of it is sent on, $R_k = \sum_i R_{i \leftarrow k}$ [lrp:eq13]. (The figure's caption names the direction the other
# way round; eqs 8 to 16 mean this one.) We choose small weights, so that every message is a whole number.

# %%
a = Tensor([[1.0, 2.0, 1.0]])  # neurons 1, 2, 3
lower = np.array([[2.0, 1.0, 0.0], [1.0, -1.0, 1.0], [0.0, 3.0, -1.0]])  # to neurons 4, 5, 6; zero: no connection
upper = np.array([[1.0], [2.0], [-2.0]])  # to neuron 7


def messages(a, w, R):
    z = a[:, None] * w  # z[i, k] = a_i w_ik
    return z / z.sum(0) * R  # eq 16


hidden = ops.relu(ops.affine(a, lower))
top = ops.affine(hidden, upper)
R7 = top.data[0]
to_hidden = messages(hidden.data[0], upper, R7)
R_hidden = to_hidden.sum(1)  # eq 8
to_input = messages(a.data[0], lower, R_hidden)
R_input = to_input.sum(1)  # eq 8

# the same by the tape: all relevances in one walk, single messages from seeds that hold one neuron's relevance
R = Tape(top, [a, hidden], "relevance").walk(top.data, relevance)
by_tape = np.stack([Tape(hidden, [a], "relevance").walk(R[hidden] * k, relevance)[a][0] for k in np.eye(3)], 1)
print("R4, R5, R6 by hand", R_hidden, " by the tape", R[hidden][0])
print("R1, R2, R3 by hand", R_input, " by the tape", R[a][0])
print("eqs 9 to 12 (all is sent on):", to_hidden.sum(0) == R7, to_input.sum(0) == R_hidden)
print("eqs 6 and 7 (each layer holds f(x)):", R7, "=", R_hidden.sum(), "=", R_input.sum())

# %%


def draw_network(ax, title, values, labels, backward):
    places = {1: (0, 2), 2: (0, 1), 3: (0, 0), 4: (1.2, 2), 5: (1.2, 1), 6: (1.2, 0), 7: (2.2, 1)}
    largest = max(abs(v) for v in labels.values())
    for (i, k), v in labels.items():
        start, end = np.array(places[k]), np.array(places[i])
        if not backward:
            start, end = end, start
        style = {"arrowstyle": "-|>", "color": ORANGE if v > 0 else PURPLE, "lw": 0.8 + 3 * abs(v) / largest}
        ax.annotate("", end, start, arrowprops={**style, "shrinkA": 17, "shrinkB": 17})
        where = np.array(places[i]) * 0.68 + np.array(places[k]) * 0.32
        box = {"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none"}
        ax.text(*where, f"{v:g}", ha="center", va="center", fontsize=9, bbox=box)
    for n, place in places.items():
        ax.scatter(*place, s=900, color="white", edgecolor=BLACK, zorder=3)
        ax.text(*place, f"{values[n - 1]:g}", ha="center", va="center", fontsize=11, zorder=4)
        ax.text(place[0], place[1] + 0.3, f"neuron {n}", ha="center", fontsize=8, color="0.35")
    ax.set(title=title, xlim=(-0.4, 2.6), ylim=(-0.4, 2.5))
    ax.axis("off")


edges = [(i, k) for i in (1, 2, 3) for k in (4, 5, 6) if lower[i - 1, k - 4]] + [(i, 7) for i in (4, 5, 6)]
weight = {(i, k): upper[i - 4, 0] if k == 7 else lower[i - 1, k - 4] for i, k in edges}
message = {(i, k): to_hidden[i - 4, 0] if k == 7 else to_input[i - 1, k - 4] for i, k in edges}
activation = [*a.data[0], *hidden.data[0], top.item()]
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
draw_network(axes[0], "forward: activations $a_i$, weights $w_{ik}$", activation, weight, False)
backward = "backward: relevances $R_i$, messages $R_{i \\leftarrow k}$"
draw_network(axes[1], backward, [*R_input, *R_hidden, *R7], message, True)

report.record(
    "lrp:fig2",
    "The seven-neuron network: every message by hand and by the tape",
    columns=("a_i w_ik", "message by hand", "message by the tape"),
    rows=[
        {
            "label": f"R_{i}<-{k}",
            "ours": {
                "a_i w_ik": activation[i - 1] * weight[i, k],
                "message by hand": message[i, k],
                "message by the tape": R[hidden][0, i - 4] if k == 7 else by_tape[i - 1, k - 4],
            },
        }
        for i, k in edges
    ],
    figure=figure,
    note="orange: positive, purple: negative; the text's figure has no numbers, the weights are ours",
)

# %% [markdown]
# Look at neuron 6. It feeds the output through a weight of $-2$, so its relevance is negative, and its messages have
# the opposite signs of its contributions. The ordering law says: for $R_k > 0$ and a positive sum,
# $0 < z_{ik} < z_{i'k}$ implies $R_{i \leftarrow k} \le R_{i' \leftarrow k}$ [lrp:ordering]. Neuron 5 obeys
# ($z = 1 < 3$, messages $2 < 6$); of negative $z$, and of neurons like 6, the law says nothing.
#
# Doing this from the top to the bottom is the whole algorithm [lrp:alg2], $R_i = \sum_j R_{i \leftarrow j}$ at each
# layer [lrp:eq62].
#
# ## 5. Biases and stabilisers: an exact account
#
# With a bias, $z_{ij} = x_i w_{ij}$, $z_j = \sum_i z_{ij} + b_j$, $x_j = g(z_j)$ [lrp:eq50]. The rules, and what each
# hands to its inputs in total:
#
# - basic [lrp:eq56]: the message is $\frac{z_{ij}}{z_j} R_j$, and all together $R_j (1 - \frac{b_j}{z_j})$ (eq 57);
# - epsilon [lrp:eq58]: $\frac{z_{ij}}{z_j + \epsilon} R_j$, together $R_j (1 - \frac{b_j + \epsilon}{z_j + \epsilon})$
#   (eq 59), with $-\epsilon$ in place of $\epsilon$ where $z_j < 0$;
# - alpha-beta [lrp:eq60]: $(\alpha \frac{z^+_{ij}}{z^+_j} + \beta \frac{z^-_{ij}}{z^-_j}) R_j$, together
#   $R_j (1 - \alpha \frac{b^+_j}{z^+_j} - \beta \frac{b^-_j}{z^-_j})$ (eq 61).
#
# (Eq 61 prints the case $\alpha = \beta = \frac12$.) The text lets the bias's share be redistributed onto the inputs,
# without saying how; we spread it evenly, as eq 5 does [lrp:bias-redistribution]. Unit A is the neuron of chapter 00,
# $z = 6 - 1 - 1 = 4$. Unit B has no bias and no negative side, $z = 6 + 1 = 7$.

# %%
point = np.array([[2.0, 1.0]])
weights, biases = np.array([[3.0, 3.0], [-1.0, 1.0]]), np.array([-1.0, 0.0])


def two_units(x):
    return ops.affine(x, weights, biases)


trials = [  # unit, rule, what the text's formula says the scores sum to
    (0, "basic", basic(), 4 * (1 - -1 / 4)),
    (0, "basic, bias redistributed", basic("redistribute"), 4),
    (0, "epsilon = 4", epsilon(4), 4 * (1 - (-1 + 4) / (4 + 4))),
    (0, "alpha 1/2, beta 1/2", alpha_beta(0.5, 0.5), 4 * (1 - 0 - 0.5 * -1 / -2)),
    (0, "alpha 2, beta -1", alpha_beta(2, -1), 4 * (1 - 0 + -1 / -2)),
    (1, "alpha 1/2, beta 1/2", alpha_beta(0.5, 0.5), 7),
    (1, "alpha 2, beta -1", alpha_beta(2, -1), 7),
]
rows = []
for unit, name, rule, expected in trials:
    e = lrp(two_units, point, unit, rules=rule)
    print(f"{'AB'[unit]} {name:26}", e)
    values = {"x1": e.scores[0, 0], "x2": e.scores[0, 1], "scores": e.scores.sum(), "R": e.output[0]}
    kept = {kind: e.absorbed_as(kind)[0] for kind in ("bias", "stabiliser", "undefined")}
    rows.append({"label": f"{'AB'[unit]}: {name}", "paper": {"scores": expected}, "ours": {**values, **kept}})

# %%
stabilisers = np.geomspace(0.01, 1000, run.pick(smoke=6, quick=61, full=61))
accounts = [lrp(two_units, point, 0, rules=epsilon(e)) for e in stabilisers]
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.semilogx(stabilisers, [e.scores.sum() for e in accounts], color=ORANGE, lw=2, label="inputs")
ax.semilogx(
    stabilisers, [e.absorbed_as("stabiliser")[0] for e in accounts], "--", color=PURPLE, lw=2, label="stabiliser"
)
ax.semilogx(stabilisers, [e.absorbed_as("bias")[0] for e in accounts], ":", color=BLACK, lw=2, label="bias")
ax.axhline(4, color=GREY, lw=5, zorder=0, label="their sum: $R_j = 4$")
ax.set(xlabel=r"stabiliser $\epsilon$ (here $z_j = 4$)", ylabel="relevance")
ax.legend(fontsize=8)
report.record(
    "lrp:eq58",
    "Who takes the relevance of one unit: inputs, bias, stabiliser, nobody",
    columns=("x1", "x2", "scores", "bias", "stabiliser", "undefined", "R"),
    rows=rows,
    figure=figure,
    note="paper: eqs 57, 59 and 61 evaluated. Unit B has no negative side, so beta R has nowhere to go and the "
    "scores sum to alpha R, not R: eq 61 presumes both sides. A large epsilon absorbs everything.",
)

# %% [markdown]
# One thing to stumble on: with $\beta = +\frac12$ the input $x_2$, whose contribution is $-1$, receives $+1$. The
# text's own example counts negative evidence in favour; $\alpha = 2, \beta = -1$ keeps its sign.
#
# ### The activation does not matter, given $R_j$
#
# The rules never look at $g$. For any $x_j = g_j(\sum_i h_{ij}(x_i))$ relevance depends on $g_j$ only through $R_j$
# [lrp:eq63]. Fix $R_j$ and swap $g$:

# %%
source = Tensor(point)
for g in (ops.relu, ops.tanh, ops.sigmoid, lambda z: z**3):
    end = g(two_units(source))
    print(
        end.data[0].round(3), "->", Tape(end, [source], "relevance").walk(np.array([[5.0, 2.0]]), relevance)[source][0]
    )

# %% [markdown]
# Max pooling is a limit of this form: the $p$-mean $(\frac1n \sum_i x_i^p)^{1/p}$ has $h(x) = x^p / n$ and
# $g(t) = t^{1/p}$, so input $i$ gets the share $x_i^p / \sum_i x_i^p$. As $p$ grows the winner takes all, which is the
# rule of `ops.amax`.

# %%
pool = np.array([[1.0, 2.0, 3.0]])
powers = 2.0 ** np.arange(run.pick(smoke=3, quick=7, full=7))
shares = np.array(
    [(e := lrp(lambda x, p=p: ops.mean(x**p, 1) ** (1 / p), pool, rules=basic())).scores[0] / e.output for p in powers]
)
limit = lrp(lambda x: ops.amax(x, 1), pool).scores[0] / 3
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
for k, (style, colour) in enumerate(((":", BLACK), ("--", PURPLE), ("-", ORANGE))):
    ax.semilogx(powers, shares[:, k], "o" + style, color=colour, base=2, label=f"x = {pool[0, k]:g}")
    ax.axhline(limit[k], color=GREY, lw=4, zorder=0)
ax.set(xlabel="exponent p of the mean", ylabel="share of the relevance")
ax.legend(fontsize=8)
report.record(
    "lrp:eq63",
    "Max pooling as the limit of p-means",
    columns=("x = 1", "x = 2", "x = 3"),
    rows=[
        {"label": label, "ours": {f"x = {k + 1}": v for k, v in enumerate(values)}}
        for label, values in (*((f"p = {p:g}", s) for p, s in zip(powers, shares, strict=True)), ("maximum", limit))
    ],
    figure=figure,
    note="grey: the shares of max pooling, winner takes all",
)

# %% [markdown]
# ## 6. DeepLIFT: differences from a reference
#
# DeepLIFT asks what made the output differ from its value at a reference input:
# $\sum_i C_{\Delta x_i \Delta t} = \Delta t$ [deeplift:eq1], with a multiplier for each input,
# $m_{\Delta x \Delta t} = C_{\Delta x \Delta t} / \Delta x$ [deeplift:eq2]. The reference value of every inner neuron
# is what the network computes on the reference, $y^0 = f(x_1^0, x_2^0, \dots)$ [deeplift:eq4]: the tape is replayed, as
# in section 2. Its rivals are the gradient, whose absolute value is the saliency map [deeplift:saliency], and gradient
# times input, which has a hidden reference of zero [deeplift:gradient-times-input].

# %%
METHODS = {
    "gradient": lambda f, x: saliency(f, x, signed=True),
    "gradient * input": gradient_times_input,
    "LRP, basic": lambda f, x: lrp(f, x, rules=basic()),
    "LRP, epsilon = 1e-6": lambda f, x: lrp(f, x, rules=epsilon(1e-6)),
    "DeepLIFT, Rescale": lambda f, x: deeplift(f, x, reference=0.0, rules=rescale()),
    "DeepLIFT, RevealCancel": lambda f, x: deeplift(f, x, reference=0.0, rules=reveal_cancel()),
}


def multipliers(y, x, x0, rule=rescale()):
    """The multipliers of a node x, leaf or inner, for the node y."""
    return Multipliers(y, x, x0, Table(rule, NonlinearityRule, "chapter 01")).walk(np.ones_like(y.data)).pos


# %% [markdown]
# ### Figure 1: saturation
#
# $h = \max(0, 1 - i_1 - i_2)$, $y = 1 - h$. At $(1, 1)$ the network is saturated: setting either input to 0 changes
# nothing, and all gradients are 0. With the reference $(0, 0)$ the output rose by 1, and the **Rescale rule**
# [deeplift:rescale-rule] follows it through the flat ReLU: its multiplier is $\Delta y / \Delta x$ whatever the slope
# at the end, and only where $\Delta x$ vanishes the derivative.

# %%


def closed(i):
    return ops.relu(1 - i.sum(1))


def saturation(i):
    return 1 - closed(i)


point = np.array([[1.0, 1.0]])
i = Tensor(point)
h = closed(i)
y = 1 - h
at_h = {"gradient": grad(y, h).item(), "DeepLIFT, Rescale": multipliers(y, h, closed(0 * point)).item()}
paper = {  # what the caption and sections 2.2 and 3.5.2 say of this point
    "gradient": {"i1": 0, "i2": 0, "signal at h": 0},
    "gradient * input": {"i1": 0, "i2": 0},
    "DeepLIFT, Rescale": {"sum": 1, "signal at h": -1},
}
rows = [
    {
        "label": "set an input to 0",
        "paper": {"i1": 0, "i2": 0},
        "ours": {f"i{k + 1}": (saturation(point) - saturation(point * (1 - np.eye(2)[k]))).item() for k in (0, 1)},
    }
]
for name, method in METHODS.items():
    scores = method(saturation, point).scores[0] + 0.0
    ours = {"i1": scores[0], "i2": scores[1], "sum": scores.sum()}
    ours |= {"signal at h": at_h[name]} if name in at_h else {}
    rows.append({"label": name, "paper": paper.get(name, {}), "ours": ours})

# %%
t = np.linspace(0, 2.4, 97)
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.plot(t, np.minimum(t, 1), color=GREY, lw=5, label="output $y$")
ax.plot([1.6, 2.4], [1, 1], color=PURPLE, lw=2, label="gradient at (1, 1): 0")
ax.plot([0, 2], [0, 1], "--", color=ORANGE, lw=2, label="multiplier from (0, 0): 1/2")
ax.plot([0, 2], [0, 1], "o", color=BLACK, ms=5)
ax.set(xlabel="$i_1 + i_2$", ylabel="$y$")
ax.legend(fontsize=8, loc="lower right")
report.record(
    "deeplift:fig1",
    "Saturation: y = 1 - max(0, 1 - i1 - i2) at (1, 1)",
    columns=("i1", "i2", "sum", "signal at h"),
    rows=rows,
    figure=figure,
    note='section 3.5.2 prints "dy/dh = 0"; with y = 1 - h it is -1, and what is 0 is the derivative of h (2.2.1 is '
    "right). LRP conserves its 1 as well, and gives it to the constant of y = 1 - h.",
)
print("LRP:     ", lrp(saturation, point, rules=basic()))
print("DeepLIFT:", deeplift(saturation, point, reference=0.0))

# %% [markdown]
# ### Figure 2: a threshold
#
# $y = \max(0, x - 10)$. Just above 10, gradient times input gives $10 + \epsilon$ to $x$ and $-10$ to the bias: two
# large numbers for a small output, out of nowhere. The difference from the reference grows as the output does, and
# DeepLIFT gives nothing to biases at all [deeplift:bias].

# %%


def threshold(x):
    return ops.relu(x - 10.0)


def gradient_shares(value):
    """Gradient times value for x and for the bias."""
    x, bias = Tensor([value]), Tensor([-10.0])
    return [float((g * v.data).item()) for g, v in zip(grad(ops.relu(x + bias), [x, bias]), (x, bias), strict=True)]


eps = 0.01
rows = []
for value, by_gradient, by_difference in ((10 + eps, (10 + eps, -10), eps), (10 - eps, (0, 0), 0)):
    contribution = deeplift(threshold, np.array([[value]]), reference=0.0)
    account = lrp(threshold, np.array([[value]]), rules=basic())
    for name, (to_x, to_bias), said in (
        ("gradient * input", gradient_shares(value), by_gradient),
        ("LRP, basic", (account.scores.item(), account.absorbed.item()), (None, None)),
        ("DeepLIFT", (contribution.scores.item(), contribution.absorbed.item()), (by_difference, 0)),
    ):
        sides = [dict(zip(("x", "bias"), pair, strict=True)) for pair in (said, (to_x + 0.0, to_bias + 0.0))]
        rows.append({"label": f"x = {value:g}: {name}", "paper": sides[0], "ours": sides[1]})

# %%
grid = np.linspace(0, 20, run.pick(smoke=21, quick=401, full=401))[:, None]
slopes, products = saliency(threshold, grid).scores, gradient_times_input(threshold, grid).scores
contributions = deeplift(threshold, grid, reference=0.0).scores
ratios = multipliers(threshold(source := Tensor(grid)), source, np.zeros((1, 1)))
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
axes[0].plot(grid, threshold(grid), color=GREY, lw=5)
axes[0].annotate("", (16, 6), (16, 0), arrowprops={"arrowstyle": "<->", "color": ORANGE, "lw": 2})
axes[0].text(15.6, 3, r"$\Delta y$", color=ORANGE, ha="right", fontsize=12)
axes[0].set(title="output $y$", xlabel="$x$")
for ax, title, jumping, smooth, names in (
    (axes[1], "slope", slopes, ratios, ("gradient", r"multiplier $\Delta y / \Delta x$")),
    (axes[2], "score of $x$", products, contributions, ("gradient * input", "contribution")),
):
    above = grid[:, 0] > 10
    for side in (above, ~above):
        ax.plot(grid[side], jumping[side], color=PURPLE, lw=2, label=names[0] if side is above else None)
    ax.plot(grid, smooth, "--", color=ORANGE, lw=2, label=names[1])
    ax.set(title=title, xlabel="$x$")
to_bias = np.array([gradient_shares(value.item())[1] for value in grid])
for side in (above, ~above):
    axes[2].plot(grid[side], to_bias[side], ":", color=BLACK, lw=2, label="gradient * bias" if side is above else None)
axes[1].set_ylim(-0.05, 1.5)
axes[2].set_ylim(-12, 32)
for ax in axes[1:]:
    ax.legend(fontsize=8, loc="upper left")
report.record(
    "deeplift:fig2",
    "A threshold: gradients jump at x = 10, differences do not",
    columns=("x", "bias"),
    rows=rows,
    figure=figure,
    note="paper: 10 + e for x and -10 for the bias, against e, at e = 0.01; LRP's basic rule equals gradient * input",
)

# %% [markdown]
# ### Figure 3: the smaller of two
#
# $o = \min(i_1, i_2) = i_1 - \max(0, i_1 - i_2)$. Both inputs matter, yet everything with a slope in it gives all to
# the smaller one. The cure is to part positive from negative: $\Delta y = \Delta y^+ + \Delta y^-$
# [deeplift:positive-negative]. In a linear neuron a term goes by the sign of $w_i \Delta x_i$ [deeplift:linear-rule];
# at a non-linearity the two parts are players, each paid its impact averaged over both orders of arrival
# [deeplift:revealcancel-rule]:
#
# $$\Delta y^+ = \tfrac12\bigl(f(x^0 + \Delta x^+) - f(x^0)\bigr) +
# \tfrac12\bigl(f(x^0 + \Delta x^- + \Delta x^+) - f(x^0 + \Delta x^-)\bigr)$$
#
# By hand for $(i_1, i_2) = (3, 2)$, where $h_1 = i_1 - i_2$ has $\Delta h_1^+ = 3$ and $\Delta h_1^- = -2$:

# %%
f, p, n = (lambda z: max(0, z)), 3, -2
up = (f(p) - f(0)) / 2 + (f(n + p) - f(n)) / 2
down = (f(n) - f(0)) / 2 + (f(p + n) - f(p)) / 2
m_up, m_down = up / p, down / n
print(f"parts {up:g} and {down:g}, multipliers {m_up:.3g} and {m_down:.3g}")
print(f"by hand: i1 gets 3 - 3 * {m_up:.3g} = {3 - 3 * m_up:g}, i2 gets 2 * {m_down:.3g} = {2 * m_down:g}")


def smaller(i):
    return i[:, 0] - ops.relu(i[:, 0] - i[:, 1])


rows = []
for case in np.array([[3.0, 2.0], [1.0, 4.0]]):
    all_to_smaller = case * (case == case.min())
    said = {name: all_to_smaller for name in METHODS} | {"DeepLIFT, RevealCancel": (case.min() / 2, case.min() / 2)}
    said["gradient"] = [None if v else 0 for v in all_to_smaller]  # the caption: zero for the larger
    for name, method in METHODS.items():
        scores = method(smaller, case[None]).scores[0] + 0.0
        sides = [dict(zip(("i1", "i2"), pair, strict=True)) for pair in (said[name], scores)]
        rows.append({"label": f"({case[0]:g}, {case[1]:g}): {name}", "paper": sides[0], "ours": sides[1]})

# %%
first = np.linspace(0, 5, run.pick(smoke=11, quick=101, full=101))
pairs = np.stack([first, np.full_like(first, 2)], 1)
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
for ax, name in zip(axes, ("DeepLIFT, Rescale", "DeepLIFT, RevealCancel"), strict=True):
    e = METHODS[name](smaller, pairs)
    ax.plot(first, e.output, color=GREY, lw=5, label="output")
    ax.plot(first, e.scores[:, 0], color=ORANGE, lw=2, label="$i_1$")
    ax.plot(first, e.scores[:, 1], "--", color=PURPLE, lw=2, label="$i_2$")
    ax.set(title=name, xlabel="$i_1$, with $i_2 = 2$")
axes[0].set_ylabel("contribution to the output")
axes[0].legend(fontsize=8, loc="upper left")
report.record(
    "deeplift:fig3",
    "min(i1, i2): all to the smaller, or half to each",
    columns=("i1", "i2"),
    rows=rows,
    figure=figure,
    note="the text says it in words: all to one of the two for every method of its section 2.2 and for Rescale, half "
    "of the minimum to each for RevealCancel",
)

# %% [markdown]
# RevealCancel is not always what you want. Let a unit open only above a threshold of 2, and let its two inputs nearly
# cancel, $4 - 3 = 1 < 2$. If that is noise, Rescale says nothing, and RevealCancel blames both
# [deeplift:noise-example]:

# %%
noise = np.array([[4.0, -3.0]])
for name in ("DeepLIFT, Rescale", "DeepLIFT, RevealCancel"):
    e = METHODS[name](lambda x: ops.relu(x.sum(1) - 2), noise)
    print(f"{name:23}", e.scores[0] + 0.0, " ", e)

# %% [markdown]
# ### The chain rule for multipliers
#
# $m_{\Delta x_i \Delta t} = \sum_j m_{\Delta x_i \Delta y_j}\, m_{\Delta y_j \Delta t}$ [deeplift:eq3]. This is why one
# walk suffices. Take a hidden layer $h$ between $x$ and $t$:

# %%
rng = np.random.default_rng(run.seed)
W1, b1, W2 = rng.normal(size=(3, 4)), rng.normal(size=4), rng.normal(size=(4, 1))
x0 = np.zeros((1, 3))
x = Tensor(rng.normal(size=(1, 3)))
h = ops.tanh(ops.affine(x, W1, b1))
t = ops.tanh(ops.affine(h, W2))
h0 = ops.tanh(ops.affine(x0, W1, b1))  # eq 4
x_to_h = np.stack([multipliers(h[:, j], x, x0)[0] for j in range(4)], 1)
h_to_t = multipliers(t, h, h0)[0]
whole = multipliers(t, x, x0)[0]
by_x, by_t = (whole * (x.data - x0)).sum(), (t.data - ops.tanh(ops.affine(h0, W2))).item()
print("m(x, h) m(h, t)   =", (x_to_h @ h_to_t).round(6))
print("m(x, t)           =", whole.round(6))
print(f"sum of m(x, t) dx = {by_x:.6f}, t - t0 = {by_t:.6f}")

# %% [markdown]
# ### Which number to explain
#
# A sigmoid squeezes the sum: a stronger contribution to the logit can become a smaller contribution to the probability.
# So explain the logit [deeplift:target-layer]. Before a softmax, whose outputs compete, subtract the mean contribution
# over the $n$ classes, $C'_{\Delta x \Delta c_i} = C_{\Delta x \Delta c_i} - \frac1n \sum_j C_{\Delta x \Delta c_j}$
# [deeplift:eq5]; contributions are linear in the target, so this is one call with output weights $1 - \frac1n$ for the
# class and $-\frac1n$ for the others.

# %%
points = np.array([[50.0, 0.0], [100.0, 100.0]])
probability = deeplift(lambda x: ops.sigmoid(x.sum(1)), points, reference=0.0).scores
logit = deeplift(lambda x: x.sum(1), points, reference=0.0).scores
columns = ("x1 to o", "x2 to o", "x1 to the logit", "x2 to the logit")
report.record(
    "deeplift:target-layer",
    "Contributions to o = sigmoid(y), and to its logit y = x1 + x2",
    columns=columns,
    rows=[
        {
            "label": f"x = ({x[0]:g}, {x[1]:g})",
            "paper": dict(zip(columns, said, strict=False)),
            "ours": dict(zip(columns, (*o, *y), strict=True)),
        }
        for x, o, y, said in zip(points, probability, logit, ((0.5, 0), (0.25, 0.25)), strict=True)
    ],
)


def logits(x):
    return ops.affine(ops.relu(ops.affine(x, W1, b1)), W3)


W3 = rng.normal(size=(4, 3))
each = np.stack([deeplift(logits, x, c, reference=0.0).scores[0] for c in range(3)])
once = deeplift(logits, x, np.eye(3)[0] - 1 / 3, reference=0.0)
print("class 0 less the mean:", (each[0] - each.mean(0)).round(6))
print("one call:             ", once.scores[0].round(6), " law:", once)

# %% [markdown]
# ## 7. A convolution is a product of matrices
#
# Every rule for linear operations serves the convolution, for it is one: cut the image into patches, one a row
# (`im2col`), and multiply by the kernels, one a column [gal:conv-as-matmul]. The library's fast `conv2d` equals these
# two lines.

# %%
image, kernels = rng.normal(size=(1, 2, 6, 6)), rng.normal(size=(3, 2, 3, 3))
patches = ops.im2col(image, (3, 3), (1, 1))  # (1, 4, 4, 18): a patch of 2 channels, 3 by 3, at each of 4 by 4 places
product = (patches @ kernels.reshape(3, 18).T).transpose(0, 3, 1, 2)
print("patches", patches.shape, " equal to conv2d:", np.allclose(product, ops.conv2d(image, kernels)))

# %% [markdown]
# ## Exercises
#
# 1. **Predict.** In figure 3 take $(i_1, i_2) = (4, 4)$. Write down what Rescale and RevealCancel give to each input.
#    Then run `METHODS["DeepLIFT, Rescale"](smaller, np.array([[4.0, 4.0]]))`. Which line of the Rescale rule decides,
#    and is the result fair?
# 2. **Break.** In `messages` (section 4) divide by `abs(z).sum(0)` instead of `z.sum(0)`. Which of eqs 8 and 13 still
#    holds, and why can the other one not be broken by any formula for the messages? What does the print line "eqs 6 and
#    7" say?
# 3. **Build.** Write `class ZPlus(LinearRule)` in ten lines at most: only positive contributions count,
#    $R_{i \leftarrow j} = \frac{z^+_{ij}}{z^+_j} R_j$ with $b^+_j$ in $z^+_j$. Graded by the law on `two_units`
#    (residual 0; say where the bias goes), and by `alpha_beta(1, 0)`, whose scores must equal yours.
