"""All three passes over one case of an operation, with whatever array module its arrays come from."""

from minidl import NoRule, Tensor, backend, grad
from minidl.explain.ledger import Ledger
from minidl.explain.lrp import relevance
from minidl.explain.multipliers import Multipliers
from minidl.explain.rules import (
    LinearRule,
    NonlinearityRule,
    alpha_beta,
    basic,
    epsilon,
    flat,
    gamma,
    rescale,
    reveal_cancel,
    w_squared,
    z_bounded,
)
from minidl.explain.table import Table

from .gradcheck import gradient_function

RELEVANCE = {
    "basic": basic(),
    "epsilon": epsilon(0.1),
    "alpha-beta": alpha_beta(2, -1),
    "gamma": gamma(0.25, bias="redistribute"),
    "between bounds": z_bounded(-1e4, 1e4),
    "flat": flat(),
    "w^2": w_squared(),
}
MULTIPLIER = {"rescale": rescale(), "reveal-cancel": reveal_cancel()}


def gradients(case, w, weights):
    """{name: array}: the value, gradients with upstream w, and the derivative of <gradients, weights>."""
    inputs = [Tensor(a) for a in case.arrays]
    y, up = case(*inputs), Tensor(w)
    found = {"value": y.data}
    found |= {f"gradient {k}": g for k, g in enumerate(grad(y, inputs, upstream=w))}
    second = grad(gradient_function(case, weights)(*inputs, up), [*inputs, up])
    return found | {f"second derivative {k}": g for k, g in enumerate(second)}


def explanations(case):
    """{name: array, or the sentence of a NoRule}: relevance and multipliers of each input, as if it were one row."""
    found = {}
    for k, a in enumerate(case.arrays):
        if not a.ndim:
            continue
        inputs = [Tensor(b) if j == k else b for j, b in enumerate(case.arrays)]
        x, y = inputs[k], case(*inputs)
        one = y.data.sum().reshape(1)
        for name, rule in RELEVANCE.items():
            ledger = Ledger(one)
            table = Table(rule, LinearRule, "lrp")
            found[f"{name} {k}"] = said(lambda y=y, x=x, t=table, b=ledger: relevance(y, x, y.data, t, b))
            found |= {f"{name} {k}, absorbed": ledger.total(), f"{name} {k}, flow": ledger.flow}
        for name, rule in MULTIPLIER.items():
            table = Table(rule, NonlinearityRule, "deeplift")
            found[f"{name} {k}"] = said(lambda y=y, x=x, t=table: contributions(y, x, t))
    return found


def contributions(y, x, table):
    """Multipliers times differences from half of x."""
    multipliers = Multipliers(y, x, x.data * 0.5, table)
    return multipliers.contributions(multipliers.walk(backend.xp(y.data).ones_like(y.data)), x)


def said(call):
    """What the call returns, or why there is no rule."""
    try:
        return call()
    except NoRule as error:
        return str(error)
