# %% [markdown]
# # Start here: one neuron, three passes
#
# **Reading time:** ten minutes. **Needs:** sums and products; nothing of Python beyond what you can guess.
#
# Afterwards you can
# - compute by hand what a gradient, a relevance and a multiplier say about one neuron,
# - read the line in which minidl prints the law of each,
# - break a rule on purpose and see in that line that it is broken,
# - find the chapter that belongs to the text on your desk.

# %%
import matplotlib.pyplot as plt
import numpy as np

from minidl import ops, report
from minidl.explain import deeplift, lrp, saliency
from minidl.explain.rules import LinearRule, basic

run = report.chapter("00_start_here", minutes=10, law="scores + what the bias absorbs = output, on one neuron by hand")

# %% [markdown]
# ## The neuron
#
# $$y = \max(0,\; w_1 x_1 + w_2 x_2 + b)$$
#
# Take $x = (2, 1)$, $w = (3, -1)$, $b = -1$. The sum is $6 - 1 - 1 = 4$, so $y = 4$. In code, with one row for our one
# example (a batch of examples would have more rows):

# %%
x = np.array([[2.0, 1.0]])
b = np.array([-1.0])


def neuron(x, w1=3.0, w2=-1.0):
    return ops.relu(ops.affine(x, np.array([[w1], [w2]]), b))


print("y =", neuron(x).item())

# %% [markdown]
# ## Three questions, three passes
#
# Which input made the 4? There are three different questions to ask, and minidl answers each by one walk backwards
# through the same record of what was computed.
#
# | pass | its question | by hand | its law |
# |---|---|---|---|
# | gradient | what if $x_i$ changed a little? | $w_i$, for the neuron is on | finite differences |
# | relevance (LRP) | how much of the 4 came through $x_i$? | $x_i w_i$, and $b$ | shares sum to $y$ |
# | multiplier (DeepLIFT) | how much of the change since $x^0$? | see below | shares sum to $y - y^0$ |
#
# Relevance is a sum over pixels, here two of them, $f(x) \approx \sum_d R_d$ [lrp:eq1]. The sign $\approx$ hides the
# bias: exactly, $f(x) = \sum_d R_d + R_b$, and minidl prints each of these terms.
#
# DeepLIFT compares with a reference; let it be $x^0 = (0, 0)$. There the sum is $-1$ and the neuron is off, $y^0 = 0$.
# From reference to input the sum grew by $5$ (from $-1$ to $4$), the output by $4$. So one unit of the sum counts $4/5$
# of a unit of output: $\;6 \cdot 0.8 = 4.8$ and $-1 \cdot 0.8 = -0.8$. Together $4 = y - y^0$ [deeplift:eq1]. The bias
# did not change between $x^0$ and $x$, so it gets nothing.

# %%
gradient = saliency(neuron, x, signed=True)
relevance = lrp(neuron, x, rules=basic())
contribution = deeplift(neuron, x, reference=0.0)

print("gradient    ", gradient.scores[0], " law:", gradient)
print("relevance   ", relevance.scores[0], " law:", relevance)
print("contribution", contribution.scores[0], " law:", contribution)

# %% [markdown]
# Read the second line aloud: the scores sum to 5, the bias absorbed $-1$, and $5 - 1$ is the output. The *residual* is
# what is left over; up to rounding it must be zero. The gradient promises no sum: its law is that it foretells a small
# step. Take one of 0.1 in each direction:

# %%
for k, step in enumerate(0.1 * np.eye(2)):
    print(f"x{k + 1} + 0.1: y grows by {neuron(x + step).item() - 4:+.1f}; foretold {0.1 * gradient.scores[0, k]:+.1f}")

report.record(
    "minidl:one-neuron",
    "One neuron by hand: the same three passes, by head and by tape",
    columns=("by hand, x1", "tape, x1", "by hand, x2", "tape, x2", "law: the sum"),
    rows=[
        {
            "label": label,
            "ours": {
                "by hand, x1": hand[0], "tape, x1": e.scores[0, 0], "by hand, x2": hand[1], "tape, x2": e.scores[0, 1],
                "law: the sum": law,
            },
        }
        for label, hand, e, law in (
            ("gradient", (3.0, -1.0), gradient, "promises none"),
            ("relevance", (6.0, -1.0), relevance, "6 - 1 - 1 (bias) = 4"),
            ("contribution", (4.8, -0.8), contribution, "4.8 - 0.8 = 4 - 0"),
        )
    ],
)  # fmt: skip

# %% [markdown]
# ## Change a weight, watch the law
#
# Let $w_2$ run from $-7$ to $2$. All shares move. What does not move is that they sum to the output: the thick grey
# line. Below $w_2 = -5$ the neuron is off, and everything is zero.

# %%


def at(w2):
    """Relevance and contribution of the neuron with this second weight."""

    def changed(x):
        return neuron(x, w2=w2)

    return lrp(changed, x, rules=basic()), deeplift(changed, x, reference=0.0)


weights = np.linspace(-7, 2, run.pick(smoke=10, quick=181, full=181))
by_relevance, by_contribution = zip(*map(at, weights), strict=True)

PURPLE, ORANGE, BLACK, GREY = "#5e3c99", "#e66101", "black", "0.75"
figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
for ax, found, title in zip(
    axes,
    (by_relevance, by_contribution),
    ("relevance (LRP, basic rule)", "contribution (DeepLIFT, reference 0)"),
    strict=True,
):
    ax.plot(weights, [e.output[0] for e in found], color=GREY, lw=6, label="output y")
    lines = ("x1", [e.scores[0, 0] for e in found], "--", ORANGE), ("x2", [e.scores[0, 1] for e in found], "-.", PURPLE)
    for name, values, style, colour in (*lines, ("bias", [e.absorbed[0] for e in found], ":", BLACK)):
        ax.plot(weights, values, style, color=colour, lw=2, label=name)
    total = [e.scores[0].sum() + e.absorbed[0] for e in found]
    ax.plot(weights, total, color=BLACK, lw=1, label="sum of the three")
    ax.set(title=title, xlabel="weight $w_2$")
axes[0].set_ylabel("share of the output")
axes[1].legend(fontsize=8, loc="upper left")

shown = "y", "relevance x1", "relevance x2", "bias absorbs", "contribution x1", "contribution x2"
rows = []
for w2 in (2.0, -1.0, -3.0, -6.0):
    r, c = at(w2)
    values = r.output[0], *r.scores[0], r.absorbed[0], *c.scores[0]
    rows.append({"label": f"w2 = {w2:g}", "ours": {name: v + 0.0 for name, v in zip(shown, values, strict=True)}})
largest = max(abs(e.residual[0]) for e in by_relevance + by_contribution)
report.record(
    "minidl:watch-the-law",
    "Shares of one neuron's output while a weight changes",
    columns=shown,
    rows=rows,
    figure=figure,
    note=f"the thin sum lies on the thick output everywhere; largest residual {largest:.0e}",
)

# %% [markdown]
# The right picture meets zero gently; in the left one the relevance of $x_1$ falls from 6 to 0 in one jump. Both
# satisfy their law at every weight. *A law that holds is not yet a good explanation*; chapter 01 shows who does what,
# and why.
#
# ## Break a rule, watch the law break
#
# A relevance rule is one line of algebra. Input $i$ of unit $j$ gets $\frac{x_i w_{ij}}{z_j} R_j$ and the bias
# $\frac{b_j}{z_j} R_j$ [lrp:eq56]. Here it is, written by ourselves. `adjoint` sends what stands at the unit back along
# its weights.

# %%


class OurBasicRule(LinearRule):
    def __call__(self, op, R, z, x, W, b):
        share = R / z
        return x * op.adjoint(share, z, x, W), None, share * b  # to x, to W (nothing), to b


class Forgetful(OurBasicRule):
    def __call__(self, op, R, z, x, W, b):
        return *super().__call__(op, R, z, x, W, b)[:2], None  # the bias's share is dropped on the floor


print("ours:     ", lrp(neuron, x, rules=OurBasicRule()))
print("forgetful:", lrp(neuron, x, rules=Forgetful()))

# %% [markdown]
# The scores of the two are equal. Only the account differs: the forgetful rule leaves a residual of 1. That is why
# every explanation in this project carries its account with it: a wrong rule can look right on a heatmap, but it cannot
# balance the books.
#
# ## Which chapter for which text
#
# | chapter | the text to have open | what it shows |
# |---|---|---|
# | `00_start_here` | none | this page |
# | `01_one_tape` | LRP to eq 16 and eqs 50-63; DeepLIFT section 3 | the tape, and every rule on two to seven neurons |
# | `02_digits` | the same two | a network trained on real digits, and what it looks at |
# | planned: relevance | LRP | Taylor decomposition, and LRP's experiments as far as the text goes |
# | planned: DeepLIFT, DNA | DeepLIFT section 4 | all its methods side by side; motifs in DNA |
# | planned: Bayesian deep learning | thesis, chapter 3 | dropout as inference, and the uncertainty it gives |
# | planned: EM | lecture notes | the bound, its two steps, and why it cannot fall |
# | planned: federated averaging | FedAvg | one model trained where the data lives |
# | planned: bag of words | LRP, kernels and mappings | relevance without a network |
# | planned: black boxes | kennen | what a network's answers tell of its insides |
#
# The six texts: *LRP* is Bach et al. 2015, *DeepLIFT* Shrikumar et al. 2017, the *thesis* Gal's on Bayesian deep
# learning, the *lecture notes* are on EM for Gaussian mixtures, *FedAvg* is McMahan et al. 2017, *kennen* Oh et al.
# 2018.
#
# Ids in brackets, like the ones above, name an equation or figure; `minidl concordance` says where each has its code,
# its test and its chapter. Symbols are translated in `docs/notation.md`; misprints of the texts are in
# `docs/errata.md`.
#
# ## Exercises
#
# 1. **Predict.** Let $b = -3$. Write down $y$, both relevances, the bias's share and both contributions (reference 0)
#    before you change `b` above and run. Which of these numbers do not move at all, and why?
# 2. **Break.** In `OurBasicRule` change `share = R / z` to `share = R / (z - b)`. Which term of the printed sum is
#    wrong now? Then also return `None` in place of `share * b`. The residual vanishes: where did the bias's share go,
#    and in which printed line above have you seen these scores before?
# 3. **Build.** Write `class Evenly(OurBasicRule)`, ten lines at most, that gives half of the bias's share to each of
#    the two inputs and none to the bias. Graded by the law (residual 0, no bias term) and by `lrp(neuron, x,
#    rules=basic("redistribute")).scores`, which must be equal to yours: $(5.5, -1.5)$.
