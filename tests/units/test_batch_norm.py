import numpy as np
import pytest
from support.gradcheck import check_gradients
from support.tolerance import assert_close

from minidl import NoRule, Tensor, explain, grad, nn
from minidl.ops.normalise import BatchNormalise, batch_normalise

SHAPES = [(6, 3), (4, 3, 5), (3, 3, 2, 4)]


def arrays(shape, dtype=np.float64):
    rng = np.random.default_rng(0)
    return (
        rng.normal(2, 3, shape).astype(dtype),
        rng.normal(size=3).astype(dtype),
        rng.normal(size=3).astype(dtype),
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_the_fused_operation_equals_its_twin(shape):
    inputs = [Tensor(a) for a in arrays(shape)]
    upstream = np.random.default_rng(1).normal(size=shape)
    fused, twin = batch_normalise(*inputs), BatchNormalise(1e-5).simple(*inputs)
    assert_close(fused.data, twin.data)
    for g, expected in zip(grad(fused, inputs, upstream), grad(twin, inputs, upstream), strict=True):
        assert_close(g, expected, scale=abs(upstream).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_to_second_order(shape):
    check_gradients(lambda x, gamma, beta: batch_normalise(x, gamma, beta, 0.1), *arrays(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_training_gives_each_channel_mean_b_and_deviation_W(shape):
    x, gamma, beta = arrays(shape)
    layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3, eps=1e-16, dtype="float64")
    layer.W, layer.b = gamma, beta
    y = layer(x).data
    axes = (0, *range(2, x.ndim))
    assert_close(y.mean(axes), beta, scale=3)
    assert_close(y.std(axes), abs(gamma), scale=3)


def test_running_statistics_move_towards_the_batch_by_the_momentum():
    x = arrays((6, 3))[0]
    layer = nn.BatchNorm1d(3, momentum=0.25, dtype="float64")
    layer(x)
    assert_close(layer.running_mean, 0.25 * x.mean(0), scale=9)
    assert_close(layer.running_var, 0.75 + 0.25 * x.var(0, ddof=1), scale=9)
    layer(x)
    assert_close(layer.running_mean, (0.75 * 0.25 + 0.25) * x.mean(0), scale=9)
    before = layer.state_dict()
    layer.eval()(x)
    assert all((a == before[k]).all() for k, a in layer.state_dict().items())


def test_in_eval_it_is_a_scale_and_a_shift_of_each_row_alone():
    x, gamma, beta = arrays((6, 3))
    layer = nn.BatchNorm1d(3, dtype="float64")
    layer(x)
    layer.W, layer.b = gamma, beta
    y = layer.eval()(x).data
    expected = (x - layer.running_mean) / np.sqrt(layer.running_var + layer.eps) * gamma + beta
    assert_close(y, expected, scale=10)
    assert_close(layer(x[2:3]).data, y[2:3], scale=10)


def network(dtype="float64"):
    rng = np.random.default_rng(3)
    model = nn.Sequential(
        body=nn.Sequential(
            nn.Conv2d(1, 3, 3, bias=False, rng=rng, dtype=dtype), nn.BatchNorm2d(3, dtype=dtype), nn.ReLU()
        ),
        flat=nn.Flatten(),
        dense=nn.Dense(48, 4, rng=rng, dtype=dtype),
        norm=nn.BatchNorm1d(4, dtype=dtype),
        act=nn.ReLU(),
        last=nn.Dense(4, 2, rng=rng, dtype=dtype),
    )
    x = rng.normal(size=(8, 1, 6, 6)).astype(dtype)
    for _ in range(5):
        model(x + rng.normal(size=x.shape).astype(dtype))
    for name, p in model.parameters().items():
        if name.startswith(("body.1", "norm")):
            p.data += rng.normal(size=p.shape) * 0.3
    return model, x


def test_folding_changes_no_output_and_no_name():
    model, x = network()
    folded = model.folded()
    assert [type(m) for m in folded.modules().values()].count(nn.BatchNorm2d) == 0
    assert list(folded.parameters()) == ["body.0.W", "body.0.b", "dense.W", "dense.b", "last.W", "last.b"]
    assert_close(folded(x).data, model.eval()(x).data, scale=10)
    assert "norm" in model.children() and model.body[0].b is None
    relevance, expected = explain.lrp(folded, x, 0), explain.lrp(model, x, 0)
    assert (abs(relevance.residual) <= 1e-12 * relevance.flow).all()
    assert (abs(expected.residual) <= 1e-12 * expected.flow).all()
    for a, b in ((explain.deeplift(m, x, 0, reference=0.0) for m in (folded, model)),):
        assert_close(a.scores, b.scores, scale=abs(b.scores).sum())


def test_folding_a_shared_layer_leaves_its_other_place_alone():
    layer = nn.Dense(3, 3, rng=0, dtype="float64")
    norm = nn.BatchNorm1d(3, dtype="float64").eval()
    norm.running_mean, norm.running_var = [1.0, 2, 3], [4.0, 5, 6]
    model = nn.Sequential(layer, norm, nn.ReLU(), layer).eval()
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert_close(model.folded()(x).data, model(x).data, scale=10)


def test_folding_refuses_what_it_cannot_fold():
    with pytest.raises(TypeError, match="fold takes Dense or Conv1d with BatchNorm1d"):
        nn.fold(nn.Dense(2, 3), nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match="the layer has 3 outputs, the normalisation 4"):
        nn.fold(nn.Dense(2, 3), nn.BatchNorm1d(4))


def test_explaining_batch_statistics_is_refused_unless_asked_for():
    model, x = network()
    for method in (explain.lrp, lambda *a, **k: explain.deeplift(*a, reference=0.5, **k)):
        with pytest.raises(NoRule, match=r"norm BatchNorm1d.*call model.eval\(\) first"):
            method(model, x, 0)
        result = method(model, x, 0, expand=True)
        # rows are mixed, so the law holds for the batch as a whole only
        assert abs(result.residual.sum()) <= 1e-11 * result.flow.sum()
    method(model.eval(), x, 0)
