"""Chunks of rows change nothing but the memory."""

import numpy as np
import pytest

from minidl import nn, ops
from minidl.explain import bisection, deeplift, integrated_gradients, lrp, saliency, taylor_decomposition
from minidl.explain.chunks import in_chunks
from minidl.explain.perturbation import occlusion
from minidl.explain.rules import alpha_beta

X = np.random.default_rng(0).normal(size=(7, 3))
MODEL = nn.Sequential(nn.Dense(3, 5, rng=0, dtype="float64"), nn.ReLU(), nn.Dense(5, 3, rng=1, dtype="float64"))
REFERENCES = np.random.default_rng(1).normal(size=(2, 7, 3))
FAR = 100 * np.concatenate([np.eye(3), -np.eye(3)])  # some on either side of every boundary
CASES = {
    "a class": (lrp, 1, {}),
    "classes": (lrp, np.arange(7) % 3, {}),
    "a list of classes": (lrp, [0, 1, 2, 0, 1, 2, 0], {"rules": alpha_beta(2, -1)}),
    "weights": (saliency, np.array([1.0, -1.0, 0.0]), {}),
    "weights by row": (saliency, np.eye(3)[np.arange(7) % 3], {"signed": True}),
    "a function": (saliency, lambda y: ops.total(y * y, 1), {}),
    "one reference": (deeplift, 0, {"reference": 0.5}),
    "one row of reference": (deeplift, 0, {"reference": REFERENCES[0, :1]}),
    "a reference each": (deeplift, 0, {"reference": REFERENCES[0]}),
    "several references": (deeplift, 0, {"reference": REFERENCES, "axis": 0}),
    "several references, last": (integrated_gradients, 0, {"reference": np.moveaxis(REFERENCES, 0, 2), "axis": -1}),
    "a fill each": (occlusion, 0, {"fill": REFERENCES[0]}),
    "a list of references": (deeplift, 0, {"reference": REFERENCES[0].tolist()}),
    "a list of several references": (deeplift, 0, {"reference": list(REFERENCES), "axis": 0}),
    "a list as fill": (occlusion, 0, {"fill": REFERENCES[0].tolist()}),
    "roots": (taylor_decomposition, 0, {"roots": REFERENCES[0]}),
    "several roots": (taylor_decomposition, 0, {"roots": REFERENCES, "keep": 1}),
    "a list of roots": (taylor_decomposition, 0, {"roots": REFERENCES.tolist()}),
    "a finder of roots": (taylor_decomposition, lambda y: y[:, 0] - y[:, 1], {"roots": bisection(FAR)}),
    "several rows of reference": (deeplift, 0, {"reference": REFERENCES[:, :1], "axis": 0}),
}


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
@pytest.mark.parametrize("method, target, options", CASES.values(), ids=CASES)
def test_in_chunks_is_in_one(method, target, options, rows):
    whole, parted = method(MODEL, X, target, **options), in_chunks(method, MODEL, X, target, rows=rows, **options)
    assert parted.method == whole.method and parted.absorbed_by.keys() == whole.absorbed_by.keys()
    pairs = [(getattr(parted, name), getattr(whole, name)) for name in ("scores", "output", "absorbed", "flow")]
    pairs += [(parted.expected, whole.expected), (parted.reference_output, whole.reference_output)]
    pairs += [(parted.arrived[k], whole.arrived[k]) for k in whole.arrived]
    pairs += [(parted.absorbed_by[p][k], share) for p, kinds in whole.absorbed_by.items() for k, share in kinds.items()]
    for one, other in pairs:
        if other is None:
            assert one is None
        else:
            np.testing.assert_allclose(one, other, atol=1e-13 * whole.flow.max())


def test_the_bar_and_the_number_of_rows(capsys):
    in_chunks(lrp, MODEL, X, 0, rows=3, progress=True)
    assert "lrp" in capsys.readouterr().err
    with pytest.raises(ValueError, match="rows must be an int of at least 1, got 0"):
        in_chunks(lrp, MODEL, X, 0, rows=0)
    with pytest.raises(ValueError, match="in_chunks: x has no rows"):
        in_chunks(lrp, MODEL, X[:0], 0)


def test_a_list_of_rows_is_explained_as_an_array():
    np.testing.assert_array_equal(
        in_chunks(lrp, MODEL, X.tolist(), 0, rows=3).scores, in_chunks(lrp, MODEL, X, 0, rows=3).scores
    )


@pytest.mark.parametrize(
    "method, target, options, sentence",
    [
        (lrp, [0, 1, 2, 0, 1, 2, 0, 0], {}, r"target must have a row for each of the 7 rows of x, got 8 along axis 0"),
        (lrp, np.eye(3), {}, r"target must have a row .*, got 3 along axis 0 of shape \(3, 3\)"),
        (
            deeplift,
            0,
            {"reference": X[:3]},
            "reference must have a row for each of the 7 rows of x, got 3 along axis 0",
        ),
        (
            deeplift,
            0,
            {"reference": REFERENCES[:, :3], "axis": 0},
            r"reference .*, got 3 along axis 1 of shape \(2, 3, 3\)",
        ),
        (occlusion, 0, {"fill": X[:3]}, "fill must have a row for each of the 7 rows of x, got 3 along axis 0"),
        (taylor_decomposition, 0, {"roots": X[:3]}, "roots must have a row for each of the 7 rows of x, got 3"),
        (taylor_decomposition, 0, {"roots": REFERENCES[:, :1]}, "roots must have a row .*, got 1 along axis 1"),
    ],
)
def test_another_number_of_rows_than_x_is_refused_though_it_may_fit_a_chunk(method, target, options, sentence):
    with pytest.raises(ValueError, match=f"in_chunks: {sentence}"):
        in_chunks(method, MODEL, X, target, rows=3, **options)
