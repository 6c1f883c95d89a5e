"""Grid search: the best on validation rows, whatever the order; killed and resumed; and the precision that is true."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.tolerance import assert_close

from minidl.bayes import Candidate, dropout_regressions, grid_search

few_scores = st.lists(st.sampled_from([-np.inf, -2.0, 0.0, 1.5, 3.0]), min_size=1, max_size=7)


class Killed(Exception):
    pass


class Work:
    """Candidates are indices of given scores, and models are names; it counts what is fitted."""

    def __init__(self, scores, die_at=None):
        self.scores, self.die_at, self.fitted = scores, die_at, []

    def fit(self, some):
        if self.die_at in some:
            raise Killed
        self.fitted += some
        return [f"model {k}" for k in some]

    def score(self, models):
        return [self.scores[int(m.split()[1])] for m in models]

    def search(self, order=None, **options):
        order = range(len(self.scores)) if order is None else order
        return grid_search(order, self.fit, self.score, progress=False, **options)


class Store(dict):
    """Keeps what a step returned, as a chapter's `run.cached` does."""

    def __call__(self, name, function):
        if name not in self:
            self[name] = {key: np.array(value) for key, value in function().items()}
        return self[name]


@pytest.mark.source("gal:grid-search")
@given(scores=few_scores, together=st.integers(1, 8))
def test_the_highest_score_is_chosen_and_of_equals_the_first(scores, together):
    work = Work(scores)
    found = work.search(together=together)
    assert found.scores.tolist() == scores and found.scores.max() == scores[found.chosen]
    assert found.chosen == scores.index(max(scores)) == found.best
    assert found.model == f"model {found.chosen}" and work.fitted == list(range(len(scores)))


@given(scores=few_scores, seed=st.integers(0, 100), together=st.integers(1, 3))
def test_scores_do_not_depend_on_the_order_of_the_grid(scores, seed, together):
    order = np.random.default_rng(seed).permutation(len(scores)).tolist()
    found = Work(scores).search(order, together=together)
    assert found.candidates == tuple(order) and found.scores.tolist() == [scores[k] for k in order]
    assert scores[found.best] == max(scores)


@example(scores=[0.0, 3.0, -2.0], together=1, at=2)  # the best of all is among those that are stored, not the first
@given(scores=few_scores, together=st.integers(1, 3), at=st.integers(0, 6))
def test_a_search_that_was_killed_goes_on_and_finds_the_same(scores, together, at):
    at, store = at % len(scores), Store()
    with pytest.raises(Killed):
        Work(scores, die_at=at).search(together=together, cached=store)
    work = Work(scores)
    found, whole = work.search(together=together, cached=store), Work(scores).search(together=together)
    assert found.scores.tolist() == whole.scores.tolist()
    assert (found.chosen, found.model) == (whole.chosen, whole.model)
    behind = at // together * together  # what was finished before is not fitted again, but for the best of all
    assert work.fitted == list(range(behind, len(scores))) + [found.chosen] * (found.chosen < behind)


@settings(max_examples=3)
@given(seed=st.integers(0, 1000))
def test_networks_are_judged_alike_in_any_order_and_any_company(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(48, 2))
    y = x[:, :1] * x[:, 1:] + 0.1 * rng.normal(size=(48, 1))
    grid = [Candidate(p, tau=tau) for p in (0.01, 0.2) for tau in (1.0, 10.0)]

    def search(grid, together):
        return grid_search(
            grid,
            lambda some: dropout_regressions(x[:32], y[:32], some, hidden=(6,), epochs=4, batch_size=16, dtype=float),
            lambda models: [m.score(x[32:], y[32:], 10, 0).log_likelihood for m in models],
            together=together,
            progress=False,
        )

    one, other = search(grid, 4), search(grid[::-1], 3)
    size = 1 + 10 * ((abs(y).max() + abs(one.model.draws(x[32:], 10, 0)).max()) ** 2)
    assert_close(one.scores, other.scores[::-1], scale=size)
    assert one.best == other.best and one.best is one.model.candidate


@pytest.mark.source("gal:grid-search")
def test_on_a_line_with_gaussian_noise_the_true_precision_is_chosen():
    """The expected score of tau is (ln tau - tau v) / 2 with v the noise's variance, plus a constant.

    At half of the true precision it is lower by 0.097, at twice by 0.153. Such a difference is a quarter, or a half, of
    the mean of tau e^2 over 2000 points, whose standard error is (2 / 2000)^(1/2): twelve and nine standard errors. A
    line learned from 2000 points is off by a thirtieth of the noise, which adds a thousandth to v.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 1))
    y = 3 * x - 1 + 0.25 * rng.normal(size=(4000, 1))
    grid = [Candidate(0.0, tau=tau) for tau in (4.0, 8.0, 16.0, 32.0, 64.0)]
    found = grid_search(
        grid,
        lambda some: dropout_regressions(x[:2000], y[:2000], some, hidden=(), epochs=30, rate=0.01),
        lambda models: [m.score(x[2000:], y[2000:], 1, 0).log_likelihood for m in models],
        together=5,
        progress=False,
    )
    assert found.best.tau == 16.0
    v = ((found.model.draws(x[2000:], 1, 0)[0] - y[2000:]) ** 2).mean()
    tau = np.array([c.tau for c in grid])
    np.testing.assert_allclose(found.scores, (np.log(tau / (2 * np.pi)) - tau * v) / 2, rtol=1e-4)


def test_what_is_refused():
    work = Work([1.0, 2.0])
    with pytest.raises(ValueError, match="candidates must hold at least one, got none"):
        work.search(())
    with pytest.raises(ValueError, match="together must be an int of at least 1, got 0"):
        work.search(together=0)
    with pytest.raises(ValueError, match="score must return 1 numbers, one for each model, got .*nan"):
        Work([np.nan]).search()
    with pytest.raises(ValueError, match="score must return 2 numbers, one for each model, got array"):
        grid_search([1, 2], list, lambda models: 3.0, together=2, progress=False)
