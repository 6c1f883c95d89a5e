# %% [markdown]
# # Gradient estimators: one derivative, three variances
#
# **Reading time:** 25 minutes. **Needs:** from chapter 01 what the tape is, and that a gradient of a gradient is
# another walk over it; Gal's section 3.1 beside you. No data.
#
# Afterwards you can
# - write each of the three estimators in a few lines, and say what it asks of $f$,
# - read a sampled variance with its error bar, and say which printed digits it supports,
# - tell by the spread and the frequency of $f$ which estimator has the lowest variance,
# - say what Proposition 1 promises, and find functions on which it is silent,
# - lower the variance of the score function with a baseline, and say why that leaves the mean alone,
# - take derivatives through coins and dice, where nothing can be moved.

# %%
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from minidl import Tensor, grad, ops, report
from minidl.bayes import (
    characteristic_function,
    characteristic_values,
    exact,
    expectation,
    pathwise,
    pathwise_values,
    proposition_1,
    score_bernoulli,
    score_categorical,
    score_function,
    score_values,
)

run = report.chapter(
    "06_gradient_estimators",
    minutes=25,
    law="all estimators of one derivative have one mean: the derivative, as quadrature gives it",
)
N = run.pick(smoke=10_000, quick=1_000_000, full=1_000_000)  # samples behind a table, as in the text
DOTS = run.pick(smoke=1_000, quick=100_000, full=1_000_000)  # samples behind a dot of a figure
COLOURS = {"score function": "#5e3c99", "pathwise": "#e66101", "characteristic function": "#009E73"}
plt.rcParams["figure.dpi"] = 72  # small pictures keep the notebook small

# %% [markdown]
# ## 1. One derivative, three formulas
#
# Variational inference maximises an expectation by changing the distribution under it, so it needs the *integral
# derivative* [gal:eq3.3]
#
# $$I(\theta) = \frac{\partial}{\partial \theta} \int f(x)\, p_\theta(x)\, dx$$
#
# where $f$ does not depend on $\theta$. Here $p_\theta$ is $\mathcal{N}(\mu, \sigma^2)$, and $\theta$ is $\mu$ or
# $\sigma$. For a network the integral has no closed form and must be estimated from samples, even from a single one.
# There are three ways, and each rewrites the derivative as the mean of something that can be sampled.
#
# **Score function** [gal:eq3.4]: differentiate the density, $\hat I_1 = f(x)\, \partial \log p_\theta(x) / \partial
# \theta$. **Pathwise** [gal:eq3.5]: write the sample as $x = g(\theta, \epsilon) = \mu + \sigma \epsilon$ with
# $\epsilon \sim \mathcal{N}(0, 1)$, and differentiate along the path, $\hat I_2 = f'(x)\, \partial g / \partial
# \theta$. **Characteristic function** [gal:eq3.6], for Gaussians only: $\hat I_3(\mu) = f'(x)$ and $\hat I_3(\sigma) =
# \sigma f''(x)$. As code, values for $\mu$ and for $\sigma$:

# %%


def by_score(f, mu, sigma, eps):
    x = mu + sigma * eps
    return f(x) * eps / sigma, f(x) * (eps**2 - 1) / sigma


def by_path(slope, mu, sigma, eps):
    x = mu + sigma * eps
    return slope(x), slope(x) * eps


def by_characteristic(slope, bend, mu, sigma, eps):
    x = mu + sigma * eps
    return slope(x), sigma * bend(x)


# %% [markdown]
# Try them on $f(x) = \sin x$, where pencil and paper suffice: $\mathbb{E} \sin x = e^{-\sigma^2/2} \sin \mu$. The
# library takes $f'$ and $f''$ from the tape, so $f$ is given once, as a function of minidl's operations.

# %%
mu, sigma = 0.5, 1.5
truth = np.exp(-(sigma**2) / 2) * np.array([np.cos(mu), -sigma * np.sin(mu)])
eps = np.random.default_rng(run.seed).normal(size=N)
BY_HAND = {
    "score function": by_score(np.sin, mu, sigma, eps),
    "pathwise": by_path(np.cos, mu, sigma, eps),
    "characteristic function": by_characteristic(np.cos, lambda x: -np.sin(x), mu, sigma, eps),
}
VALUES = dict(zip(COLOURS, (score_values, pathwise_values, characteristic_values), strict=True))
ESTIMATORS = dict(zip(COLOURS, (score_function, pathwise, characteristic_function), strict=True))

columns = "d/dmu, sampled", "d/dmu, exact", "d/dsigma, sampled", "d/dsigma, exact", "largest error in error bars"
rows = []
for name, by_hand in BY_HAND.items():
    assert np.allclose(by_hand, VALUES[name](ops.sin, mu, sigma, eps)), f"{name}: the library has another formula"
    mean, error = np.mean(by_hand, 1), np.std(by_hand, 1) / np.sqrt(N)
    off = abs(mean - truth) / error
    assert off.max() < 5, f"{name}: its mean is not the derivative"
    values = mean[0], truth[0], mean[1], truth[1], off.max()
    rows.append({"label": name, "ours": dict(zip(columns, values, strict=True))})
report.record(
    "minidl:one-derivative",
    f"Three estimators of one derivative: sin x under N({mu}, {sigma}^2), {N:,} samples",
    columns=columns,
    rows=rows,
    note="an error bar is the standard deviation of the mean; beyond 5 of them the chapter would stop",
)

# %% [markdown]
# ### Does the sample move, or its weight?
#
# The score function leaves each $x$ where it is and asks how likely it becomes; $f(x)$ does not depend on $\theta$. On
# the path, $\epsilon$ stays and $x$ moves with $\theta$, and $f$ with it. The text makes this step with an auxiliary
# variable: $x$ is not drawn but computed from $\epsilon$, so that $\theta$ gets into $f$ [gal:remark-auxiliary]. Then
# the derivative goes inside the integral, and for fixed noise it is an ordinary one: the tape can take it through $g$,
# knowing nothing of estimators.

# %%
few = eps[:5]
theta = Tensor(np.full(5, mu)), Tensor(np.full(5, sigma))
through_g = grad(ops.sin(theta[0] + theta[1] * few), theta, upstream=np.ones(5))
print("d/dmu:    through g", through_g[0].round(4), " pathwise", pathwise_values(ops.sin, mu, sigma, few)[0].round(4))
print("d/dsigma: through g", through_g[1].round(4), " pathwise", pathwise_values(ops.sin, mu, sigma, few)[1].round(4))

# %%
noise, wider = np.array([-1.6, -0.9, -0.3, 0.4, 1.1, 1.8]), 1.4
grid = np.linspace(-4, 4, 200)


def density(x, sigma):
    return np.exp(-((x / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))


figure = Figure(figsize=(9, 3.2), layout="constrained")
left, right = figure.subplots(1, 2, sharex=True, sharey=True)
for ax, title in ((left, "score function: the weight of $x$ changes"), (right, "pathwise: $x$ itself moves")):
    ax.plot(grid, density(grid, 1), color="0.6", label="$\\sigma = 1$")
    ax.plot(grid, density(grid, wider), color="black", label=f"$\\sigma = {wider}$")
    ax.set(title=title, xlabel="$x$")
for e in noise:
    look = {"arrowstyle": "-|>", "lw": 2, "shrinkA": 0, "shrinkB": 0}
    up = {**look, "color": COLOURS["score function"]}
    left.annotate("", (e, density(e, wider)), (e, density(e, 1)), arrowprops=up)
    along = {**look, "color": COLOURS["pathwise"]}
    right.annotate("", (wider * e, density(wider * e, wider)), (e, density(e, 1)), arrowprops=along)
left.set_ylabel("density")
left.legend(fontsize=8)
report.record(
    "minidl:weight-or-path",
    "Six samples while sigma grows from 1 to 1.4 (mu = 0)",
    figure=figure,
    note="left: x stays, and its density falls or rises. Right: the noise stays, and x = sigma eps moves outwards",
)
figure

# %% [markdown]
# ## 2. Equal means, different variances
#
# The means agree, so what counts is how much single samples scatter. The text samples the variance of each estimator
# for three functions at $\mu = 0$, $\sigma = 1$, a million samples each [gal:table3.1], [gal:table3.2]. (It prints both
# tables as one: the first four columns are the derivative for $\mu$, the last four that for $\sigma$.)
#
# A variance that is sampled has an error of its own. For $n$ independent samples with variance $s^2$ and fourth central
# moment $m_4$ it is about $\sqrt{(m_4 - s^4) / n}$: the library's `variance_error`. And it can be had without sampling.
# Feed the same formula the nodes of a Gauss-Hermite rule, double them until two rules agree, and the mean and the
# variance are exact; that is `exact`.

# %%
FUNCTIONS = {"x + x^2": lambda x: x + x * x, "sin x": ops.sin, "sin 10x": lambda x: ops.sin(x * 10)}
PRINTED = {  # for mu and for sigma: score function, pathwise, characteristic function; the last digit is the tenth
    "x + x^2": (("1.7e1", "4.0e0", "4.0e0"), ("8.6e1", "9.1e0", "0.0e0")),
    "sin x": (("3.3e-1", "2.0e-1", "2.0e-1"), ("8.7e-1", "3.0e-1", "4.3e-1")),
    "sin 10x": (("5.0e-1", "5.0e1", "5.0e1"), ("1.0e0", "5.0e1", "5.0e3")),
}


def last_digit(printed):
    """Half a unit in the last digit of 8.6e1 is 0.05e1."""
    return 0.05 * float("1e" + printed.partition("e")[2])


sampled = {
    (f, name): estimator(FUNCTIONS[f], 0, 1, N, run.seed) for f in FUNCTIONS for name, estimator in ESTIMATORS.items()
}
truths = {(f, name): exact(values, FUNCTIONS[f], 0, 1) for f in FUNCTIONS for name, values in VALUES.items()}
columns = "variance", "its error bar", "exact", "ours from exact", "printed from exact"
for theta, id, title in ((0, "gal:table3.1", "mu"), (1, "gal:table3.2", "sigma")):
    rows = []
    for (f, name), found in sampled.items():
        printed = PRINTED[f][theta][list(VALUES).index(name)]
        variance, error, true = found.variance[theta], found.variance_error[theta], truths[f, name].variance[theta]
        bars = [None, None]
        if error:
            rounded = max(0, abs(float(printed) - true) - last_digit(printed))
            bars = [abs(variance - true) / error, rounded / error]
        values = variance, error, true.round(12), *bars
        row = {"label": f"{f}, {name}", "ours": dict(zip(columns, values, strict=True))}
        rows.append({**row, "paper": {"variance": float(printed)}})
    report.record(
        id,
        f"Variance of the estimators of d/d{title}, at mu = 0 and sigma = 1, {N:,} samples",
        columns=columns,
        rows=rows,
        note="the last two columns count error bars; what the text rounded away is not held against it",
    )

# %% [markdown]
# Our variances are within a few error bars of the exact ones, and so are the printed ones. The farthest of those are 86
# for 84 and 9.1 for 9, and that is chance: for the first, a million samples do not even fix the second digit. Heavy
# tails have large error bars. In the row of the 84 a sample is a polynomial of degree four, and its variance comes out
# to about two percent; two rows below it a sample is the constant 2, and nothing is left to chance. (The text says that
# the second derivative of $x + x^2$ is zero. It is 2; what is zero is its variance.)
#
# ### No estimator is the best
#
# It was believed that (1) has the highest variance and (3) the lowest. The first function obeys. For the others:

# %%
columns = "lowest, d/dmu", "lowest, d/dsigma", "highest, d/dmu", "highest, d/dsigma"
rows = []
for f in FUNCTIONS:
    variances = np.array([truths[f, name].variance for name in VALUES])  # (3 estimators, 2 parameters)
    ends = []
    for pick in (variances.min(0), variances.max(0)):
        alike = np.isclose(variances, pick, rtol=1e-9)
        ends += [" = ".join(f"({k + 1})" for k in np.flatnonzero(alike[:, theta])) for theta in (0, 1)]
    rows.append({"label": f, "ours": dict(zip(columns, ends, strict=True))})
report.record(
    "gal:no-best-estimator",
    "Which estimator has the lowest variance? (1) score function, (2) pathwise, (3) characteristic function",
    columns=columns,
    rows=rows,
    note="exact variances at mu = 0, sigma = 1. For mu (2) and (3) are one formula",
)

# %% [markdown]
# Each of the three is the best for some function, for $\mu$ and for $\sigma$ [gal:no-best-estimator]. For $\sigma$ each
# function of the table has another winner. And $\sin x$ and $\sin 10x$ are the same function on another scale, with
# opposite verdicts for $\mu$.
#
# ## 3. Spread and frequency
#
# So let us turn both knobs. Lines are exact; dots are sampled, with bars of two standard errors.

# %%
SIGMAS = np.geomspace(0.2, 3, run.pick(smoke=6, quick=40, full=40))
FREQUENCIES = np.geomspace(0.3, 10, run.pick(smoke=6, quick=40, full=40))


def sine(k):
    return lambda x: ops.sin(x * k)


def draw_variances(axes, grid, case, xlabel):
    """The variances for mu (above) and for sigma (below) over a grid; case(v): f and sigma there."""
    for name, colour in COLOURS.items():
        lines = np.array([exact(VALUES[name], case(v)[0], 0, case(v)[1]).variance for v in grid])
        at = grid[:: max(1, len(grid) // 8)]
        found = [ESTIMATORS[name](case(v)[0], 0, case(v)[1], DOTS, run.seed) for v in at]
        for theta, ax in enumerate(axes):
            if theta == 0 and name == "characteristic function":
                continue  # for mu it is the pathwise one
            ax.loglog(grid, lines[:, theta], color=colour, label=name, lw=1.2)
            dots, bars = ([getattr(e, what)[theta] for e in found] for what in ("variance", "variance_error"))
            ax.errorbar(at, dots, 2 * np.array(bars), fmt="o", ms=3, color=colour, lw=1)
    for name, ax in zip(("mu", "sigma"), axes, strict=True):
        ax.set_ylabel(f"variance, d/d$\\{name}$")
    axes[1].set_xlabel(xlabel)


figure = Figure(figsize=(9, 6), layout="constrained")
axes = figure.subplots(2, 2, sharex="col", sharey="row")
draw_variances(axes[:, 0], SIGMAS, lambda v: (ops.sin, v), "$\\sigma$ (same unit as $x$)")
draw_variances(axes[:, 1], FREQUENCIES, lambda v: (sine(v), 1.0), "$k$ (radians per unit of $x$)")
for ax, ticks in zip(axes[1], ([0.2, 0.5, 1, 2, 3], [0.3, 1, 3, 10]), strict=True):
    ax.set_xticks(ticks, [f"{v:g}" for v in ticks])
    ax.xaxis.minorticks_off()
axes[0, 0].set_title("$\\sin x$ under $\\mathcal{N}(0, \\sigma^2)$")
axes[0, 1].set_title("$\\sin kx$ under $\\mathcal{N}(0, 1)$")
axes[1, 0].legend(fontsize=8)


def crossing(difference, low, high):
    """Where a function changes its sign, by bisection."""
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if difference(middle) * difference(low) > 0 else (low, middle)
    return low


def ahead(first, second, theta):
    """By how much the variance of the first is above that of the second, for sin kx."""
    both = VALUES[first], VALUES[second]
    return lambda k: np.subtract(*(exact(values, sine(k), 0, 1).variance[theta] for values in both))


PAIRS = (
    ("pathwise", "score function", 0),
    ("pathwise", "score function", 1),
    ("characteristic function", "score function", 1),
    ("characteristic function", "pathwise", 1),
)
rows = [
    {
        "label": f"d/d{('mu', 'sigma')[theta]}: {first} worse than {second}",
        "ours": {"from k sigma =": crossing(ahead(first, second, theta), 0.5, 3)},
    }
    for first, second, theta in PAIRS
]
report.record(
    "minidl:variance-over-scale",
    "Variance over spread and over frequency (mu = 0)",
    columns=("from k sigma =",),
    rows=rows,
    figure=figure,
    note=f"lines: exact; dots: {DOTS:,} samples, bars of two standard errors. Table: where the lines cross for sin kx",
)
figure

# %% [markdown]
# The two columns tell one story. $\sin x$ under $\mathcal{N}(0, \sigma^2)$ is $\sin kx$ under $\mathcal{N}(0, 1)$ with
# $k = \sigma$, seen through another unit of length, so only $k\sigma$ decides who is ahead: how many waves the
# Gaussian covers. Well below one radian $f$ is nearly straight. Its slope is nearly constant, so the pathwise estimator
# hardly scatters for $\mu$, and its bend is next to nothing, so the characteristic function hardly scatters for
# $\sigma$. Above it slopes grow with $k$, bends with $k^2$, and the variances with $k^2$ and $k^4$, while $f$ itself
# stays within $\pm 1$ and the score function does not notice.
#
# The score function pays elsewhere. It divides by $\sigma$, and looks for a slope in values that differ less and less:
# as $\sigma$ falls its variance for $\mu$ grows like $f(\mu)^2 / \sigma^2$. In the figure $f(0) = 0$ hides that. At
# $\mu = 0.5$ it shows, and section 5 has the remedy.

# %%
for spread in (0.4, 0.2, 0.1, 0.05):
    score, path = (exact(VALUES[name], ops.sin, 0.5, spread).variance[0] for name in ("score function", "pathwise"))
    print(f"mu = 0.5, sigma = {spread:<4}: variance of the score function {score:7.3f}, of pathwise {path:.1e}")

k = 2.5
one = [exact(values, ops.sin, 0, k).variance for values in VALUES.values()]
other = [exact(values, sine(k), 0, 1).variance / k**2 for values in VALUES.values()]
assert np.allclose(one, other), "the unit of length should not matter"
print("variances of sin x under N(0, 2.5^2) and of sin 2.5x under N(0, 1), over 2.5^2:")
print(np.array(one).round(4).tolist())
print(np.array(other).round(4).tolist())

# %% [markdown]
# ## 4. Proposition 1: a promise, and silence
#
# When is the pathwise estimator the better one for $\mu$? The text gives a sufficient condition [gal:prop1]:
#
# $$\big(\mathbb{E}[(x - \mu) f'(x) + f(x)]\big)^2 - \sigma^4\, \mathbb{E}[f''(x)^2] \ge 0
# \quad\Longrightarrow\quad \mathrm{Var}(\hat I_2) \le \mathrm{Var}(\hat I_1)$$
#
# It rests on two bounds for any smooth $g$ under a Gaussian, $\sigma^2 (\mathbb{E} g')^2 \le \mathrm{Var}(g) \le
# \sigma^2 \mathbb{E}[g'^2]$. Take the lower one for $g = (x - \mu) f$, which is the score function's sample times
# $\sigma^2$, and the upper one for $g = f'$, the pathwise sample. If the bounds do not overlap, the variances are in
# order. As code, for the text's example and $\mu = 0$, $\sigma = 1$:

# %%
score_term = expectation(lambda x: x * (1 + 2 * x) + (x + x * x), 0, 1) ** 2
pathwise_term = expectation(lambda x: np.full_like(x, 2.0) ** 2, 0, 1)
print(f"x + x^2: {score_term:.4g} - {pathwise_term:.4g} = {score_term - pathwise_term:.4g}")

# %%
columns = "first term", "second term", "premise holds", "Var(pathwise)", "Var(score function)", "conclusion true"
EXAMPLE = {"first term": 9, "second term": 4, "premise holds": True, "conclusion true": True}
rows = []
for name, f in FUNCTIONS.items():
    p = proposition_1(f, 0, 1)
    assert p.conclusion or not p.holds, "the proposition is wrong"
    values = round(p.score_term, 12), p.pathwise_term, p.holds, p.pathwise_variance, p.score_variance, p.conclusion
    paper = EXAMPLE if name == "x + x^2" else {}
    rows.append({"label": name, "paper": paper, "ours": dict(zip(columns, values, strict=True))})
report.record(
    "gal:prop1",
    "Proposition 1 on the three functions (mu = 0, sigma = 1)",
    columns=columns,
    rows=rows,
    note="where the premise does not hold the proposition is silent, whatever is true",
)
print(proposition_1(FUNCTIONS["x + x^2"], 0, 1))

# %% [markdown]
# Three functions, three cases. The polynomial gets its promise, $9 - 4 > 0$. The two sines get none: both have
# $\mathbb{E}[x f' + f] = 0$ by symmetry, so the lower bound is empty. For $\sin x$ the conclusion is true all the same;
# for $\sin 10x$ it is false.
#
# (In print the second term is $\mathbb{E}(f'')^2$, which could be read as the square of the mean. That would not do:
# for $\sin 10x$ it is 0, the condition reads $0 \ge 0$, and the conclusion is wrong by a factor of 100.)
#
# How much is left unsaid? Shift the sine to a cosine, which is not odd, and turn its frequency.

# %%
grid = np.linspace(0.02, 2, run.pick(smoke=10, quick=100, full=100))
said = [proposition_1(lambda x, k=k: ops.cos(x * k), 0, 1) for k in grid]
premise = np.array([p.holds for p in said])
figure = Figure(figsize=(6.5, 3.4), layout="constrained")
ax = figure.subplots()
ax.semilogy(grid, [p.pathwise_variance / p.score_variance for p in said], color="black", label="ratio of the variances")
bounds = [min(1e3, p.pathwise_term / max(p.score_term, 1e-300)) for p in said]  # at k = 1 the first term is 0
ax.semilogy(grid, bounds, "--", color="0.5", label="ratio of the two terms")
ax.axhline(1, color="0.8", lw=0.8, zorder=0)
ax.fill_between(grid, 0, 1, premise, transform=ax.get_xaxis_transform(), color=COLOURS["pathwise"], alpha=0.25, lw=0)
ax.set(xlabel="$k$ (radians per unit of $x$)", ylabel="pathwise / score function", xlim=(0, 2), ylim=(1e-3, 1e2))
ax.legend(fontsize=8)
true = np.array([p.conclusion for p in said])
assert not (premise & ~true).any()
report.record(
    "minidl:proposition-silent",
    "Where Proposition 1 speaks: cos kx under N(0, 1)",
    columns=("from", "to"),
    rows=[
        {"label": "promised", "ours": {"from": grid[premise][0], "to": grid[premise][-1]}},
        {"label": "true", "ours": {"from": grid[true][0], "to": grid[true][-1]}},
    ],
    figure=figure,
    note="shaded: the premise holds, and the ratio of the terms is at most 1. Below the line at 1 the pathwise "
    f"estimator has the lower variance. Looked at: {len(grid)} frequencies from {grid[0]:.2g} to {grid[-1]:.2g}",
)
figure

# %% [markdown]
# The promise is kept, and does not cover all that is true. Near 0 the bounds are tight, for a straight $g$ meets both.
# With the frequency the gap opens, and the proposition falls silent before the variances cross.
#
# ## 5. Baselines
#
# Add 10 to $f$. No derivative changes, and the two estimators that use slopes do not notice. Each sample of the score
# function gets 10 times the score added, which is noise and nothing else. But then one may as well subtract: since
# $\mathbb{E}[\partial \log p_\theta] = 0$,
#
# $$\hat I_1^{\,b} = (f(x) - b)\, \frac{\partial \log p_\theta(x)}{\partial \theta}$$
#
# has the same mean for every number $b$ [gal:eq3.4], a *baseline* or control variate. Which $b$ is best? The variance
# is a parabola in $b$, and its lowest point is
# $b^* = \mathbb{E}[f s^2] \,/\, \mathbb{E}[s^2]$ with $s = \partial \log p_\theta$, one for $\mu$ and one for $\sigma$.


# %%
def raised(x):
    return x + x * x + 10


SCORES = {"mu": lambda x: x, "sigma": lambda x: x * x - 1}  # at mu = 0, sigma = 1
best = {
    name: expectation(lambda x, s=s: raised(x) * s(x) ** 2, 0, 1) / expectation(lambda x, s=s: s(x) ** 2, 0, 1)
    for name, s in SCORES.items()
}
mean = expectation(raised, 0, 1)
print(f"E f = {mean:.4g}; best baselines: {best['mu']:.4g} for mu, {best['sigma']:.4g} for sigma")

# %% [markdown]
# The expectations are what one does not have. What one has are other samples: `baseline="mean"` takes for each sample
# the mean of $f$ over the *others*. The mean over all would contain the sample itself, would no longer be independent
# of it, and would shrink the estimate by the factor $(n - 1) / n$.

# %%
grid = np.linspace(-5, 25, run.pick(smoke=7, quick=61, full=61))
lines = np.array([exact(partial(score_values, baseline=b), raised, 0, 1).variance for b in grid])
at = grid[:: run.pick(smoke=3, quick=10, full=10)]
dots = [score_function(raised, 0, 1, N, run.seed, baseline=b) for b in at]
others = score_function(raised, 0, 1, N, run.seed, baseline="mean")

figure = Figure(figsize=(9, 3.4), layout="constrained")
axes = figure.subplots(1, 2)
for theta, (ax, name) in enumerate(zip(axes, SCORES, strict=True)):
    ax.semilogy(grid, lines[:, theta], color=COLOURS["score function"], label="exact")
    bars = [2 * e.variance_error[theta] for e in dots]
    variances = [e.variance[theta] for e in dots]
    ax.errorbar(at, variances, bars, fmt="o", ms=3, color=COLOURS["score function"], lw=1, label="sampled")
    path = exact(pathwise_values, raised, 0, 1).variance[theta]
    ax.axhline(path, color=COLOURS["pathwise"], lw=1.2, label="pathwise")
    ax.axvline(best[name], color="0.6", ls=":", label="$b^*$")
    ax.plot(mean, others.variance[theta], "*", color="black", ms=9, label="mean of the others")
    ax.set(xlabel="baseline $b$ (unit of $f$)", ylabel=f"variance, d/d$\\{name}$")
figure.legend(*ax.get_legend_handles_labels(), fontsize=8, ncols=5, loc="outside upper center")

columns = "d/dmu", "variance, d/dmu", "d/dsigma", "variance, d/dsigma"
CHOICES = {
    "no baseline": exact(score_values, raised, 0, 1),
    "E f": exact(partial(score_values, baseline=mean), raised, 0, 1),
    "b* for mu": exact(partial(score_values, baseline=best["mu"]), raised, 0, 1),
    "b* for sigma": exact(partial(score_values, baseline=best["sigma"]), raised, 0, 1),
    "mean of the others, sampled": others,
    "pathwise": exact(pathwise_values, raised, 0, 1),
}
rows = [
    {"label": name, "ours": dict(zip(columns, (e.mean[0], e.variance[0], e.mean[1], e.variance[1]), strict=True))}
    for name, e in CHOICES.items()
]
report.record(
    "minidl:baselines",
    "What a baseline saves: x + x^2 + 10 under N(0, 1)",
    columns=columns,
    rows=rows,
    figure=figure,
    note=f"exact by quadrature but for the row that says sampled. Dots: {N:,} samples, bars of two standard errors",
)
figure

# %% [markdown]
# One number takes away what the 10 brought, and the mean of the others does as well as $\mathbb{E} f$, which nobody
# told it. The best baseline is better still. Even so the pathwise estimator keeps its lead on this function: a constant
# cannot follow $f$.
#
# ## 6. What each asks of $f$
#
# The score function asks for values; $f$ may be a program that nobody can differentiate. The path needs a continuous
# $f$, and the characteristic function one without corners. Violate this, and there is no error message: $f''$ of a ReLU
# is 0 wherever a sample can fall.

# %%
columns = "d/dmu", "d/dsigma", "from the truth, in error bars"
truth = np.array([0.5, 1 / np.sqrt(2 * np.pi)])  # of E relu(x) at mu = 0, sigma = 1
rows = [{"label": "exact", "ours": dict(zip(columns, (*truth, None), strict=True))}]
for name, estimator in ESTIMATORS.items():
    e = estimator(ops.relu, 0, 1, N, run.seed)
    off = abs(e.mean - truth)
    bars = [d / s if s else np.inf for d, s in zip(off, e.standard_error, strict=True)]
    rows.append({"label": name, "ours": dict(zip(columns, (*e.mean, max(bars)), strict=True))})
report.record(
    "minidl:a-corner",
    f"A corner: ReLU under N(0, 1), {N:,} samples",
    columns=columns,
    rows=rows,
    note="the characteristic function estimator has no variance here, and it is wrong",
)
try:
    exact(characteristic_values, abs, 0.1, 1)
except ValueError as error:
    print(f"The quadrature notices what samples do not: {error}")

# %% [markdown]
# ## 7. Coins and dice
#
# A coin that shows 1 with probability $p$ cannot be moved a little, so there is no path. The score function works as it
# is [gal:eq3.4]: $\partial \log p(x) / \partial p = (x - p) / (p (1 - p))$. Here "exact" is a sum over two outcomes.

# %%


def by_coin(f, p, x):
    return f(x) * (x - p) / (p * (1 - p))


def cost(x):
    return (x - 0.45) ** 2


p, outcomes = 0.3, np.array([0.0, 1.0])
chances = np.array([1 - p, p])
coin_mean = chances @ by_coin(cost, p, outcomes)
assert np.isclose(coin_mean, cost(1.0) - cost(0.0)), "E f is a straight line in p, with this slope"


def coin_variance(b):
    return chances @ (by_coin(lambda x: cost(x) - b, p, outcomes) - coin_mean) ** 2


columns = "exact", "sampled", "error bar", "exact variance of one sample"
coin_baseline = chances @ cost(outcomes)
rows = []
for name, b, variance in (
    ("none", 0.0, coin_variance(0)),
    ("E f", coin_baseline, coin_variance(coin_baseline)),
    ("mean of the others", "mean", None),
):
    e = score_bernoulli(cost, p, N, run.seed, baseline=b)
    values = coin_mean, e.mean, e.standard_error, variance
    rows.append({"label": f"coin, baseline {name}", "ours": dict(zip(columns, values, strict=True))})

# %% [markdown]
# A die with $K$ faces gets its probabilities from logits, $p = \mathrm{softmax}(a)$. Then $\partial \log p_k / \partial
# a_j = 1\{j = k\} - p_j$, and the truth is what the tape makes of $\sum_k p_k f(k)$. This is how a network learns to
# choose among actions when only the reward of the chosen one is seen.

# %%
logits, reward = Tensor([0.5, -0.2, 0.0, 1.0]), np.array([2.0, 3.0, 1.5, 2.5])
probabilities = ops.softmax(logits)
truth = grad((probabilities * reward).sum(), logits)
chances = probabilities.data
die_baseline = chances @ reward
for name, b in (("none", 0.0), ("E f", die_baseline), ("mean of the others", "mean")):
    e = score_categorical(lambda k: reward[k], chances, N, run.seed, baseline=b)
    assert (abs(e.mean - truth) < 5 * e.standard_error).all(), "not the gradient"
    variance = None
    if b != "mean":
        single = (reward - b)[:, None] * (np.eye(4) - chances)  # (outcome, logit)
        variance = (chances @ (single - truth) ** 2)[1]
    values = truth[1], e.mean[1], e.standard_error[1], variance
    rows.append({"label": f"die, second logit, baseline {name}", "ours": dict(zip(columns, values, strict=True))})
report.record(
    "minidl:coins-and-dice",
    f"Derivatives where nothing can be moved, {N:,} samples",
    columns=columns,
    rows=rows,
    note="exact: by enumeration for the coin, by the tape for the die; error bars are standard errors",
)

# %% [markdown]
# With rewards that are all positive, each drawn face is reinforced, good or bad, and only the average sorts them out. A
# baseline makes worse than average count as bad.
#
# The text goes on with the pathwise estimator, since the functions that variational inference meets often seem to have
# (1) > (2), and so does this library: dropout masks are noise that does not depend on the weights, and
# $x = g(\theta, \epsilon)$ is the network with its masks. That is chapter 07.
#
# ## Exercises
#
# 1. **Predict.** Take $f(x) = x^2$ at $\mu = 0$, $\sigma = 1$. Write down all six exact variances; you need
#    $\mathbb{E} x^2, x^4, x^6, x^8$ = 1, 3, 15, 105. Does Proposition 1 speak, and by how much? Then ask `exact` and
#    `proposition_1`. Compare with $x + x^2$: what did the $x$ add to the variances, and what to the premise?
# 2. **Break.** In `by_score` replace `eps**2 - 1` by `eps**2`. Which assertion stops the chapter? Make it a comment:
#    which law stops it now? Then set `mu` to 0.0 as well, and the law holds again. Which number happens to be 0 there,
#    and would a baseline have noticed?
# 3. **Build.** *Antithetic* samples: a function that takes a formula such as `pathwise_values` and returns another of
#    its kind, with the mean of the values at `eps` and at `-eps`. Five lines. Graded by two laws: `exact` must find the
#    mean unchanged, and for $x + x^2$ the variance of pathwise for $\mu$ must be 0. A pair costs two evaluations of
#    $f$, so a gain is less than half of the variance. In which cells of the tables is there a gain, and in which does
#    the second evaluation bring nothing at all?
