"""Grid search: what the text leaves to choose (p, tau, the length-scale or weight decay) is chosen on rows held out.

Weights are trained on some rows, candidates judged on others, the validation rows, and what is chosen is tested on a
third part that neither training nor choice has seen. So there is no place here to hand in test rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Search", "grid_search"]


@dataclass(frozen=True)
class Search:
    """What became of each candidate. scores: (K,), higher is better. chosen: which is the best. model: its model."""

    candidates: tuple[Any, ...]
    scores: np.ndarray
    chosen: int
    model: Any

    @property
    def best(self) -> Any:
        """The candidate of the highest score, the first of equals."""
        return self.candidates[self.chosen]


def grid_search(
    candidates: Sequence[Any],
    fit: Callable[[Sequence[Any]], Sequence[Any]],
    score: Callable[[Sequence[Any]], Any],
    *,
    together: int = 1,
    cached: Callable[[str, Callable[[], Mapping[str, Any]]], Mapping[str, Any]] | None = None,
    name: str = "grid",
    progress: bool = True,
) -> Search:
    """Fit and score all candidates; the one with the highest score on validation rows is chosen, the first of equals.

    candidates: the grid, of any kind. fit(some): a model for each of these candidates; the same for the same candidate
    whichever others come with it, which `dropout_regressions` keeps to. score(models): a number for each, such as the
    mean log likelihood of the validation rows. together: how many are fitted at once; no more models than these and the
    best are kept.
    cached(name, function): returns function()'s named arrays, from a store if it has them, such as `run.cached` of a
    chapter: a search that was killed goes on behind the last group. Only scores are stored; if the best model came from
    the store it is fitted once more. name: that of the steps, followed by their number.
    Two grids of the text are [Candidate(p, tau=tau) for p in ps for tau in taus], at a fixed length-scale, and
    [Candidate(p, weight_decay=lam) for p in ps for lam in lams], where tau then follows from eq 3.17. A length-scale
    is one more loop.
    Raises ValueError for an empty grid, together below 1, and scores that are NaN or not one for each model.
    Source: gal:grid-search
    """
    candidates = tuple(candidates)
    if not candidates:
        raise ValueError("grid_search: candidates must hold at least one, got none")
    if not isinstance(together, (int, np.integer)) or isinstance(together, bool) or together < 1:
        raise ValueError(f"grid_search: together must be an int of at least 1, got {together!r}")
    store = (lambda _, function: function()) if cached is None else cached
    scores, chosen, model = [], 0, None
    with _bar(progress, len(candidates)) as bar:
        for k in range(0, len(candidates), together):
            some, models = candidates[k : k + together], []

            def work(some=some, models=models):
                models += fit(some)
                return {"scores": _checked(score(models), len(some))}

            scores += _checked(store(f"{name}-{k // together}", work)["scores"], len(some)).tolist()
            best = int(np.argmax(scores))  # the first of equals
            if best >= k:
                chosen, model = best, models[best - k] if models else None
            bar.update(len(some))
    if model is None:
        (model,) = fit(candidates[chosen : chosen + 1])
    return Search(candidates, np.array(scores), chosen, model)


def _checked(scores: Any, expected: int) -> np.ndarray:
    scores = np.asarray(scores, float)
    if scores.shape != (expected,) or np.isnan(scores).any():
        raise ValueError(f"grid_search: score must return {expected} numbers, one for each model, got {scores!r}")
    return scores


def _bar(shown: bool, total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc="grid search", unit="candidate", disable=not shown)
