# %% [markdown]
# # Mixtures: EM and the bound under the evidence
#
# **Reading time:** 25 minutes. **Needs:** the notes on EM and Gaussian mixtures open beside you; what a covariance
# matrix is. Nothing from other chapters. The digits come with minidl.
#
# Afterwards you can
# - fit one Gaussian by its closed form, and draw from a mixture of several,
# - take the evidence of any model with a hidden choice apart into a free energy and a divergence, as numbers,
# - write EM in five lines, and say of each half step what it does to the bound,
# - recognise a Gaussian that collapses, and mend it,
# - choose how many Gaussians there should be, and of which shape, by rows that were held out.
#
# The notes are slides with handwriting. They print formulas and no numbers, so there is no column for the paper here.
# They write $X^l$ for what is hidden; we write $y$, as they do for mixtures.

# %%
import inspect
import warnings

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from minidl import data, report
from minidl.mixture import (
    GaussianMixture,
    Parameters,
    e_step,
    elbo,
    entropy,
    expected_complete,
    kl,
    log_joint,
    m_step,
)
from minidl.mixture.covariances import TYPES, Full, Spherical, Tied

run = report.chapter(
    "09_mixtures",
    minutes=25,
    law="for any q the free energy and the divergence from the posterior sum to the log evidence, and no half step of "
    "EM lowers the free energy",
    data={"full": ("mnist",)},
)
N = run.pick(smoke=90, quick=600, full=600)
COLOURS = np.array([[0.90, 0.38, 0.00], [0.37, 0.24, 0.60], [0.00, 0.62, 0.45]])  # orange, purple, green
circle = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 60)), np.sin(a)], 1)
plt.rcParams["figure.dpi"] = 72  # small pictures keep the notebook small

# %% [markdown]
# ## 1. One Gaussian
#
# Given rows $x_1 \dots x_N$ of $d$ numbers, which Gaussian makes them likeliest? The notes write down what has to be
# as large as possible [em:gaussian-mle],
#
# $$\prod_{i=1}^{N} \frac{1}{(2\pi)^{d/2} |\Sigma|^{1/2}}\, e^{-\frac12 (x_i - \mu)^\top \Sigma^{-1} (x_i - \mu)}$$
#
# and the answer, which they leave out, is the mean of the rows and the mean of $(x_i - \mu)(x_i - \mu)^\top$. Our rows
# come from three clouds; how, section 2 shows. As code:

# %%
truth = GaussianMixture.known(
    weights=[0.5, 0.3, 0.2],
    means=[[0, 0], [3, 0.8], [0.4, 3]],
    covariances=[[[1.3, 0.6], [0.6, 0.9]], [[0.6, -0.3], [-0.3, 1]], [[1.2, 0.1], [0.1, 0.5]]],
)
x, origin = truth.sample(N, run.seed, labels=True)
new = truth.sample(N, run.seed + 1_000_000)  # rows that no fit will see

mu = x.mean(0)
Sigma = (x - mu).T @ (x - mu) / N

# %%
one = GaussianMixture(1).fit(x)
print("mean      ", mu, "\nthe fit's ", one.means[0])
print("covariance", Sigma.tolist(), "\nthe fit's ", one.covariances[0].tolist())


def per_row(mixture, rows):
    """The mean log density of the rows, in nats."""
    return mixture.score_samples(rows).mean()


rows = []
for label, mean, covariance in (
    ("closed form", mu, Sigma),
    ("mean moved by 0.1", mu + 0.1, Sigma),
    ("covariance 1.2 times", mu, Sigma * 1.2),
    ("covariance by N - 1", mu, Sigma * N / (N - 1)),
):
    gaussian = GaussianMixture.known([1.0], [mean], [covariance])
    rows.append({"label": label, "ours": {"nats a row": per_row(gaussian, x), "new rows": per_row(gaussian, new)}})
rows.append(
    {"label": "the mixture they came from", "ours": {"nats a row": per_row(truth, x), "new rows": per_row(truth, new)}}
)
report.record(
    "minidl:one-gaussian",
    f"The log likelihood of {N} rows under one Gaussian, and around it",
    columns=("nats a row", "new rows"),
    rows=rows,
    note="the closed form is the largest of all single Gaussians on the rows that it was fitted to",
)

# %% [markdown]
# Of the single Gaussians none does better on these rows than the closed form. The three clouds do better than all of
# them, and on new rows as well.
#
# ## 2. A mixture
#
# A *mixture* picks one of $k$ Gaussians, $y$ with probability $c_y$, and draws from it. Who sees only $x$ sums over
# what may have been picked [em:gmm-density]:
#
# $$P[X = x] = \sum_{y=1}^{k} c_y \frac{1}{(2\pi)^{d/2} |\Sigma_y|^{1/2}}
# e^{-\frac12 (x - \mu_y)^\top \Sigma_y^{-1} (x - \mu_y)}$$
#
# Drawing is the first sentence as code. The library's `sample` does the same, and drew the rows above.

# %%
rng = np.random.default_rng(run.seed)
y = rng.choice(3, N, p=truth.weights)
L = np.linalg.cholesky(truth.covariances)
drawn = truth.means[y] + (L[y] @ rng.standard_normal((N, 2, 1)))[:, :, 0]
print(f"mean of what was drawn: {drawn.mean(0)}, of the mixture: {truth.weights @ truth.means}")

# %% [markdown]
# For the density we need $\ln \sum_y$ of numbers that may be as small as $e^{-500000}$. So everything is computed in
# logarithms: `log_joint` gives $\ln P[X = x_i, Y = y]$, a table of $N$ by $k$, and the log likelihood is (the notes
# write $m$ for our $N$) [em:log-likelihood]
#
# $$L(\omega) = \sum_{i=1}^{N} \ln P_\omega[X = x_i] = \sum_{i=1}^{N} \ln \sum_{y=1}^{k} P_\omega[X = x_i, Y = y]$$

# %%
joint = log_joint(x, truth)
largest = joint.max(1, keepdims=True)
evidence = (np.log(np.exp(joint - largest).sum(1, keepdims=True)) + largest)[:, 0]
print(f"L = {evidence.sum():.6f} nats; by the library {truth.score_samples(x).sum():.6f}")
far = np.array([[1000.0, 1000.0]])
print(f"far away the density is {np.exp(truth.score_samples(far))[0]}, its logarithm {truth.score_samples(far)[0]:.1f}")

# %% [markdown]
# The logarithm acts on a sum, so setting derivatives to zero leads to equations without a closed solution: the notes
# call it intractable. If somebody told us which Gaussian each row came from, there would be no sum, and $k$ closed
# forms. EM puts a guess in the place of that knowledge.
#
# ## 3. The evidence taken apart
#
# Let $q_{i,y}$ be *any* guess: for each row a distribution over the Gaussians. How far is one distribution from
# another? By the KL divergence [em:kl], which is never negative, and zero only where they are equal
# [em:kl-nonnegative]:
#
# $$\mathrm{KL}(p\,\|\,q) = \sum_y p(y) \ln\frac{p(y)}{q(y)} = -\sum_y p(y) \ln\frac{q(y)}{p(y)}$$
#
# The notes ask $p, q > 0$. Zeros do no harm to $p$, since $0 \ln 0 = 0$; a zero of $q$ where $p$ has none costs
# infinitely much.

# %%
p, other = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
print(f"KL(p || q) = {kl(p, other):.4f}, KL(q || p) = {kl(other, p)}, KL(p || p) = {kl(p, p)}")
pairs = rng.dirichlet(np.ones(3), (2, 10_000))
print(f"the smallest of 10,000 pairs: {kl(*pairs).min():.1e}")

# %% [markdown]
# The *free energy* of $q$ is what it expects of the complete data [em:expected-complete] and its entropy
# [em:free-energy]:
#
# $$F(q, \omega) = \underbrace{\sum_{i,y} q_{i,y} \ln P_\omega[X = x_i, Y = y]}_{G(q, \omega)}
# \underbrace{- \sum_{i,y} q_{i,y} \ln q_{i,y}}_{H(q)}$$
#
# Bayes' rule splits $P[X, Y]$ into the posterior $P[Y | X]$ and the evidence $P[X]$, and what remains is an identity
# [em:decomposition]:
#
# $$\ln P(X) = F(q) + \mathrm{KL}(q\,\|\,\text{posterior})$$
#
# As code, for the guess that knows nothing:

# %%
q = np.full((N, 3), 1 / 3)
F = (q * (joint - np.log(q))).sum()
posterior = np.exp(joint - evidence[:, None])
KL = (q * np.log(q / posterior)).sum()
print(f"by hand:    F {F:.6f} + KL {KL:.6f} = {F + KL:.6f}, and L = {evidence.sum():.6f}")
print(f"by library: {elbo(q, x, truth)}")
print(f"G + H = {expected_complete(q, x, truth) + entropy(q).sum():.6f}")

# %% [markdown]
# Since no divergence is negative, $F(q) \le \ln P(X)$ [em:elbo]: a lower bound under the evidence, ELBO for short. The
# notes get there a second time by Jensen's inequality [em:jensen], $\sum_y q_y \ln z_y \le \ln \sum_y q_y z_y$, with
# $z_y = P[X = x_i, Y = y] / q_{i,y}$, and it holds row by row. See it for seven guesses. The last is the posterior.

# %%
hard = np.eye(3)[posterior.argmax(1)]
nearest = np.eye(3)[((x[:, None] - truth.means) ** 2).sum(-1).argmin(1)]
GUESSES = {
    "knows nothing": q,
    "drawn at random": rng.dirichlet(np.ones(3), N),
    "nearest mean": nearest,
    "where it came from": np.eye(3)[origin],
    "likeliest Gaussian": hard,
    "half sure": (posterior + q) / 2,
    "the posterior": posterior,
}
figure, ax = plt.subplots(figsize=(8, 3.2), layout="constrained")
columns = "G", "H", "F = G + H", "KL", "F + KL", "rows with F above L"
rows = []
for k, (name, q) in enumerate(GUESSES.items()):
    bound, H = elbo(q, x, truth), entropy(q)
    each = (q * np.where(q > 0, joint, 0)).sum(1) + H  # Jensen's inequality row by row
    values = expected_complete(q, x, truth) / N, H.mean(), bound.free_energy / N, bound.kl / N
    values += (bound.free_energy + bound.kl) / N, int((each > evidence + 1e-9).sum())
    rows.append({"label": name, "ours": dict(zip(columns, values, strict=True))})
    bottom = -11
    ax.barh(k, values[2] - bottom, left=bottom, color=COLOURS[1], label="free energy $F$" if k == 0 else None)
    ax.barh(k, values[3], left=values[2], color=COLOURS[0], label="KL to the posterior" if k == 0 else None)
ax.axvline(evidence.mean(), color="black", ls="--", lw=1, label="log evidence $L$")
ax.set(xlim=(bottom, evidence.mean() + 0.5), xlabel="nats a row (the purple bars begin left of the picture)")
ax.set_yticks(range(len(GUESSES)), GUESSES)
ax.invert_yaxis()
ax.set_title("free energy and divergence always sum to the evidence", size=11)
figure.legend(loc="outside lower center", ncols=3, frameon=False)
report.record(
    "minidl:decomposition",
    "Seven guesses q for the same rows and the same mixture, in nats a row",
    columns=columns,
    rows=rows,
    figure=figure,
    note=f"L is {evidence.mean():.6f} nats a row",
)

# %% [markdown]
# Look at the guess *where it came from*: the true Gaussian of every row, and yet not the best $q$. A row between two
# clouds may have come from either, and who is sure of the one that it did come from claims more than $x$ tells.
#
# ## 4. EM
#
# $F$ has two arguments, and EM climbs by one at a time.
#
# **E-step.** Hold $\omega$, and make $F$ as large as it can be in $q$. By the identity that is where KL is zero, at
# the *responsibilities* [em:responsibilities], and there $F = L$ [em:e-step]:
#
# $$q_{i,y} = P_\omega[Y = y | X = x_i] = \frac{P_\omega[X = x_i, Y = y]}{\sum_{y'} P_\omega[X = x_i, Y = y']}$$
#
# **M-step.** Hold $q$, and make $G$ as large as it can be in $\omega$ [em:m-step]; $H$ does not depend on it. The notes
# name this step without its formulas. Derivatives of $G$ set to zero give, with $m_y = \sum_i q_{i,y}$,
#
# $$c_y = \frac{m_y}{N}, \qquad \mu_y = \frac1{m_y} \sum_i q_{i,y}\, x_i, \qquad
# \Sigma_y = \frac1{m_y} \sum_i q_{i,y} (x_i - \mu_y)(x_i - \mu_y)^\top$$
#
# which is the closed form of section 1 with weights. Both steps as code:

# %%


def e_by_hand(x, omega):
    p = np.exp(log_joint(x, omega))
    return p / p.sum(1, keepdims=True)


def m_by_hand(x, q):
    m = q.sum(0)
    mu = q.T @ x / m[:, None]
    d = x[:, None] - mu
    return Parameters(m / len(x), mu, np.einsum("iy,iya,iyb->yab", q, d, d) / m[:, None, None])


# %% [markdown]
# The library's two steps do the same in logarithms and a block of rows at a time. We start badly: three wide Gaussians
# with equal weights around three random rows. After every half step the law is checked, and $F$ and $L$ are kept.

# %%
STEPS = run.pick(smoke=3, quick=60, full=60)
start = np.random.default_rng(run.seed).choice(N, 3, replace=False)
omega, q = Parameters(np.full(3, 1 / 3), x[start], np.stack([Sigma] * 3)), np.full((N, 3), 1 / 3)
path, climb = [omega], [elbo(q, x, omega)]
for _ in range(STEPS):
    q, _ = e_step(x, omega)
    climb.append(elbo(q, x, omega))
    assert climb[-1].kl < 1e-9 * N, "after an E-step the bound touches the log likelihood"
    omega = m_step(x, q)
    climb.append(elbo(q, x, omega))
    assert climb[-1].free_energy > climb[-2].free_energy - 1e-9 * N, "no half step lowers the free energy"
    path.append(omega)
by_hand = path[0]
for _ in range(STEPS):
    by_hand = m_by_hand(x, e_by_hand(x, by_hand))
print(f"by hand and by library the means differ by {abs(by_hand.means - omega.means).max():.0e}")

# %%
SHOWN = run.pick(smoke=(0, 1, 2, 3), quick=(0, 1, 4, 10, 20, 60), full=(0, 1, 4, 10, 20, 60))


def draw_mixture(ax, omega, rows, title):
    """The rows in the colours of their responsibilities, the Gaussians as ellipses of one and two widths."""
    ax.scatter(*rows.T, s=5, c=e_step(rows, omega)[0] @ COLOURS, linewidths=0, antialiased=False)
    for mean, root, colour in zip(omega.means, np.linalg.cholesky(omega.covariances), COLOURS, strict=True):
        for width in (1, 2):
            ax.plot(*(mean + width * circle @ root.T).T, color=colour, lw=1.8 / width)
        ax.plot(*mean, "x", color="black", ms=5)
    ax.set_title(title, size=10)


figure, axes = plt.subplots(2, -(-len(SHOWN) // 2), figsize=(8.5, 5.6), sharex=True, sharey=True, layout="constrained")
for ax, t in zip(axes.flat, SHOWN, strict=True):
    draw_mixture(ax, path[t], x, f"iterations: {t}, $L$ = {climb[2 * t].log_evidence / N:.3f}")
figure.supxlabel("first number of a row", size=10)
figure.supylabel("second number of a row", size=10)
order = np.argsort(-omega.weights)
columns = "weight", "mean 1", "mean 2", "true weight", "true mean 1", "true mean 2"
closest = [((truth.means - omega.means[k]) ** 2).sum(1).argmin() for k in order]
rows = [
    {
        "label": f"Gaussian {n + 1}",
        "ours": dict(zip(columns, (omega.weights[k], *omega.means[k], truth.weights[c], *truth.means[c]), strict=True)),
    }
    for n, (k, c) in enumerate(zip(order, closest, strict=True))
]
report.record(
    "minidl:em-steps",
    f"EM from a bad start: the Gaussians after {STEPS} iterations, beside the nearest of the true ones",
    columns=columns,
    rows=rows,
    figure=figure,
    note=f"fitted to {N} rows: L = {climb[-1].log_evidence / N:.4f} nats a row; the true mixture has "
    f"{evidence.mean():.4f} on the same rows",
)

# %% [markdown]
# A row mixes the colours of the Gaussians as its responsibilities do, and the ellipses are one and two standard
# deviations wide. Now the bound: each E-step lifts $F$ to $L$; each M-step lifts $F$ further, and $L$ by more, because
# the old $q$ is no longer the posterior.

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
for ax, stop in zip(axes, (7, min(41, len(climb))), strict=True):
    half = np.arange(stop) / 2
    ax.plot(half, [b.log_evidence / N for b in climb[:stop]], "--", color="black", label="log likelihood $L$")
    ax.plot(
        half, [b.free_energy / N for b in climb[:stop]], color=COLOURS[1], marker=".", ms=6, label="free energy $F$"
    )
    ax.set(xlabel="iterations: E-steps end at a half, M-steps at a whole", ylabel="nats a row")
first = np.array(climb[:7]) / N
axes[0].fill_between(np.arange(7) / 2, first[:, 0], first[:, 2], color=COLOURS[0], alpha=0.4, lw=0, label="KL")
axes[0].legend()
axes[0].set_title("the first three iterations", size=10)
axes[1].set_title("the first twenty", size=10)
report.record(
    "minidl:bound",
    "The bound closing: free energy and log likelihood after each half step, in nats a row",
    columns=("F", "KL", "L"),
    rows=[
        {
            "label": f"{'after M-step' if t % 2 == 0 else 'after E-step'} {(t + 1) // 2}" if t else "start",
            "ours": dict(zip(("F", "KL", "L"), map(float, values), strict=True)),
        }
        for t, values in enumerate(first)
    ],
    figure=figure,
    note="at the start q is 1/3 everywhere",
)

# %% [markdown]
# `GaussianMixture` is this loop behind a better start, k-means, and with an end: it stops when an iteration gains less
# than a tolerance. Here is its loop whole, and the fit that it makes.

# %%
print(inspect.getsource(GaussianMixture._climb))
fitted = GaussianMixture(3, seed=run.seed).fit(x)
print(f"{fitted!r}: {len(fitted.bound_history) - 1} iterations, L = {fitted.bound_history[-1] / N:.4f} nats a row")
print(f"new rows: {per_row(fitted, new):.4f} nats a row")

# %% [markdown]
# ## 5. A Gaussian that collapses
#
# The likelihood of a mixture has no maximum. Put one Gaussian more onto a single row and let its width $\sigma$ go to
# zero: that row's density grows like $\sigma^{-d}$, without limit, and the other rows do not mind, since the other
# Gaussians are still there. The notes do not speak of it.

# %%


def with_a_spike(sigma):
    """The fitted mixture and one narrow Gaussian more, on the row that lies farthest out."""
    outer = x[fitted.score_samples(x).argmin()]
    weights = np.append(fitted.weights * (1 - 1 / N), 1 / N)
    covariances = np.concatenate([fitted.covariances, [sigma**2 * np.eye(2)]])
    return GaussianMixture.known(weights, np.concatenate([fitted.means, [outer]]), covariances)


widths = np.logspace(0.5, -7, 40)
on_x, on_new = (np.array([per_row(with_a_spike(s), rows) for s in widths]) for rows in (x, new))
figure, ax = plt.subplots(figsize=(6, 3), layout="constrained")
ax.semilogx(widths, N * (on_x - on_x[0]), color=COLOURS[0], label="the rows of the fit")
ax.semilogx(widths, N * (on_new - on_new[0]), color=COLOURS[1], label="new rows")
ax.invert_xaxis()
ax.set(xlabel="width $\\sigma$ of the Gaussian on one row", ylabel=f"gain in nats, {N} rows")
ax.legend()

spike = with_a_spike(0.01)
columns = "least width allowed", "least width found", "nats a row", "new rows", "collapsed"
rows = []
for floor, begin, label in (
    (1e-12, spike, "a start with a spike"),
    (1e-8, spike, "a start with a spike"),
    (1e-4, spike, "a start with a spike"),
    (1e-2, spike, "a start with a spike"),
    (1e-2, "k-means", "a start by k-means"),
):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        mixture = GaussianMixture(4, seed=run.seed, start=begin, floor=floor).fit(x)
    least = np.sqrt(np.linalg.eigvalsh(mixture.covariances).min())
    values = (
        np.sqrt(floor * x.var(0).mean()),
        least,
        per_row(mixture, x),
        per_row(mixture, new),
        "yes" if told else "no",
    )
    rows.append({"label": f"{label}, floor {floor:g}", "ours": dict(zip(columns, values, strict=True))})
    if floor == 1e-12:
        print(told[0].message)
try:
    GaussianMixture(4, start=spike, floor=0).fit(x)
except ValueError as error:
    print(f"and with floor=0: {error}")
report.record(
    "minidl:collapse",
    "Four Gaussians from a start with a narrow one on a single row, by the least variance that is allowed",
    columns=columns,
    rows=rows,
    figure=figure,
    note="a floor is a share of the mean variance of x's columns",
)

# %% [markdown]
# Left of $\sigma = 0.1$ the narrow Gaussian is a Gaussian like the others; right of it each power of ten brings
# $2 \ln 10$ nats, for one row, and nothing for new rows. EM climbs that slope to whatever end it is given: with
# `floor=0` to an error, with a floor to the floor. The lower it is, the better the fit looks, and the new rows tell
# nothing of it. minidl warns in each case where a Gaussian ends on the floor. The remedy is in the last line: a start
# that has no spike, and several of them if need be (`restarts=`). A larger floor makes a spike pay less, but a spike it
# remains. (On the new rows no fourth Gaussian is of use, for there are three clouds. How many to ask for is the next
# section's question.)
#
# The floor does not harm the law. Eigenvalues of $\Sigma_y$ below it are raised to it, and that *is* the maximum of
# $G$ among all Gaussians at least so wide, so no half step lowers $F$. To add a constant to the diagonal, as is often
# done, is no maximum of anything that EM climbs, and there the bound may fall.
#
# ## 6. How many Gaussians, and of which shape?
#
# A covariance matrix of $d$ numbers has $d (d + 1) / 2$ free ones. With few rows one asks for less: one matrix for all
# Gaussians (*tied*), variances only (*diagonal*), or one variance a Gaussian (*spherical*). The M-step for each is a
# mean of the same sums. In the library a shape is a small class, for instance:

# %%
for shape in (Full, Tied, Spherical):
    print(f"{shape.__name__}: {shape.__doc__}\n{inspect.getsource(shape.mean)}")

# %% [markdown]
# More Gaussians always fit the rows better that they were fitted to. So the choice is made on rows held out. Our rows
# are handwritten digits, each by its first principal components. Three fifths are for fitting, a fifth for choosing,
# and the last fifth is looked at once, for what was chosen.

# %%
if run.scale == "full":
    mnist = data.mnist()
    images, labels = mnist.train_images[:, 0].reshape(60_000, -1), mnist.train_labels
else:
    images, labels = data.digits()
    images = images.reshape(len(images), -1)
D = run.pick(smoke=3, quick=8, full=20)  # principal components
COUNTS = run.pick(smoke=(1, 3), quick=(1, 2, 5, 10, 15, 20, 30), full=(1, 5, 10, 20, 40, 80))

rest, test = data.stratified_split(labels, 0.2, run.seed)
fit, choose = (rest[part] for part in data.stratified_split(labels[rest], 0.25, run.seed))
centre = images[fit].mean(0, dtype=float)
components = np.linalg.svd(images[fit] - centre, full_matrices=False)[2][:D]
parts = (images - centre) @ components.T  # (N, D)
kept = parts[fit].var(0).sum() / images[fit].var(0).sum()
print(f"{len(fit)} rows of {D} numbers, which keep {kept:.0%} of the variance of {images.shape[1]} pixels")


def fit_one(name, k):
    """The mixture's parameters and log densities for the rows to fit and to choose by."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # one that collapsed will not be chosen
        mixture = GaussianMixture(k, name, run.seed, floor=1e-3, tolerance=1e-4).fit(parts[fit])
    omega = mixture.parameters._asdict() | {"iterations": len(mixture.bound_history) - 1}
    return omega | {"fit": per_row(mixture, parts[fit]), "choose": per_row(mixture, parts[choose])}


grid = {
    (name, k): run.cached(f"{name}-{k}", lambda: fit_one(name, k))  # noqa: B023
    for name in TYPES
    for k in tqdm(COUNTS, desc=name, disable=run.scale != "full")
}

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3.2), sharey=True, layout="constrained")
shades = dict(zip(TYPES, ["#5e3c99", "#e66101", "#009e73", "black"], strict=True))
rows = []
for name in TYPES:
    for ax, part in zip(axes, ("fit", "choose"), strict=True):
        ax.plot(COUNTS, [float(grid[name, k][part]) for k in COUNTS], marker=".", color=shades[name], label=name)
    best = max(COUNTS, key=lambda k: float(grid[name, k]["choose"]))  # noqa: B023
    mixture = GaussianMixture.known(*(grid[name, best][part] for part in ("weights", "means", "covariances")), name)
    values = (
        best,
        int(grid[name, best]["iterations"]),
        float(grid[name, best]["fit"]),
        float(grid[name, best]["choose"]),
    )
    rows.append(
        {
            "label": name,
            "ours": dict(zip(("Gaussians", "iterations", "rows to fit", "rows to choose"), values, strict=True)),
        }
    )
    rows[-1]["ours"]["test rows"] = per_row(mixture, parts[test])
axes[0].set(title="rows of the fit", xlabel="Gaussians", ylabel="nats a row")
axes[1].set(title="rows held out to choose by", xlabel="Gaussians")
axes[0].legend()
report.record(
    "minidl:how-many",
    f"The number of Gaussians with the largest likelihood on held-out rows, by shape ({D} components of digits)",
    columns=("Gaussians", "iterations", "rows to fit", "rows to choose", "test rows"),
    rows=rows,
    figure=figure,
    note=f"nats a row; asked for were {', '.join(map(str, COUNTS))} Gaussians",
)

# %% [markdown]
# On the rows of the fit every curve rises to the end. On those held out, full matrices are ahead from two Gaussians on,
# up to a number of them at which each has some fifty rows for a matrix of 36 numbers; beyond it they fit rows, not
# digits. The other shapes have less to learn, and are not yet at their best at the right end of the picture. The test
# rows, which chose nothing, agree: full matrices are ahead.
#
# Nobody told the mixture what a digit is. Here are its ten heaviest Gaussians, and ten rows drawn from it.

# %%
name, k = max(grid, key=lambda key: float(grid[key]["choose"]))
chosen = GaussianMixture.known(*(grid[name, k][part] for part in ("weights", "means", "covariances")), name)
belongs = chosen.predict_proba(parts[test]).argmax(1)
heaviest = np.argsort(-chosen.weights)[:10]
side = round(images.shape[1] ** 0.5)

figure, axes = plt.subplots(2, 10, figsize=(8.5, 2.2), layout="constrained")
samples = chosen.sample(10, run.seed)
for line, some in zip(axes, (chosen.means[heaviest], samples), strict=True):
    for ax, numbers in zip(line, some, strict=False):
        ax.imshow((centre + numbers @ components).reshape(side, side), cmap="gray_r", vmin=0, vmax=1)
    for ax in line:
        ax.set_axis_off()
right = 0
for j in range(k):
    own = np.bincount(labels[test][belongs == j], minlength=10)
    right += own.max()
    if j in heaviest:
        axes[0, list(heaviest).index(j)].set_title(f"{own.argmax()}: {own.max() / max(own.sum(), 1):.0%}", size=9)
report.record(
    "minidl:digit-gaussians",
    f"The chosen mixture, {k} Gaussians of type {name}: means of the heaviest (above), digits drawn from it (below)",
    columns=("test rows", "of their Gaussian's most frequent digit"),
    rows=[
        {
            "label": "all digits",
            "ours": dict(
                zip(
                    ("test rows", "of their Gaussian's most frequent digit"),
                    (len(test), right / len(test)),
                    strict=True,
                )
            ),
        }
    ],
    figure=figure,
    note="above each mean: the most frequent digit among the test rows that belong to the Gaussian, and its share",
)

# %% [markdown]
# Most Gaussians have found one digit, some share one, each with a way of writing of its own. But look at the lower
# row: a digit drawn from eight components is a blur that has the right density and not always the right shape. What a
# mixture makes likely is what it was given to look at.
#
# ## Exercises
#
# 1. **Predict.** `GaussianMixture(3, seed=run.seed).fit(10 * x + 100)`: by how much does the last number of
#    `bound_history` differ from that of `fitted`, and by how much do the responsibilities? Write down two numbers, then
#    run it. (A density is per unit of area, and an area has grown by a factor.)
# 2. **Break.** In the loop of section 4 change `omega = m_step(x, q)` to `omega = m_step(x, np.eye(3)[q.argmax(1)])`,
#    which believes the likeliest Gaussian. Which of the two assertions fails, and why not the other? Does $F$ + KL
#    still equal $L$ after every half step?
# 3. **Build.** A mixture of coins: `b = (images > 0.5).astype(float)` are rows of zeros and ones, and Gaussian $y$
#    becomes a row of probabilities $p_y$, with $\ln P[X = x, Y = y] = \ln c_y + \sum_j (x_j \ln p_{yj} + (1 - x_j) \ln
#    (1 - p_{yj}))$. Write its E-step and its M-step, ten lines in all, and clip $p$ to `[1e-3, 1 - 1e-3]`, a floor of
#    its own. Graded by a law: over 50 iterations $L$ never falls. Then show the rows of $p$ as pictures.
