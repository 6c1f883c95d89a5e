import copy
import pickle

import numpy as np
import pytest
from support.standin import DeviceArray

from minidl import Tensor, backend, explain, losses, nn, no_grad, ops, optim
from minidl.tape import topological


class Twice(nn.Module):
    """The same layer two times, one more in a list, and a child that nobody calls."""

    def __init__(self):
        self.scale = Tensor(np.ones(1, np.float32))
        self.shared = nn.Dense(3, 3, rng=1)
        self.again = self.shared
        self.blocks = []
        self.blocks.append(nn.Dense(3, 2, rng=2))

    def forward(self, x, rng=None):
        return self.blocks[0](self.again(ops.relu(self.shared(x, rng)), rng), rng) * self.scale


def paths(y):
    return {str(node.layer) for node in topological(y, lambda n: n.inputs) if node.op is not None}


def mlp(dtype="float32"):
    return nn.Sequential(nn.Dense(4, 3, rng=0, dtype=dtype), nn.ReLU(), nn.Dense(3, 2, rng=1, dtype=dtype))


def test_distinct_parameters_go_by_their_first_path():
    parameters = Twice().parameters()
    assert list(parameters) == ["scale", "shared.W", "shared.b", "blocks.0.W", "blocks.0.b"]
    layer = nn.Dense(3, 3)
    assert list(nn.Sequential(layer, nn.ReLU(), layer).parameters()) == ["0.W", "0.b"]


def test_nodes_carry_the_path_of_the_call_and_not_of_the_layer():
    model = nn.Sequential(features=nn.Sequential(nn.Dense(3, 3), nn.ReLU()), tail=Twice())
    y = model(np.ones((2, 3), np.float32))
    assert paths(y) == {"features.0 Dense", "features.1 ReLU", "tail Twice", "tail.shared Dense", "tail.blocks.0 Dense"}
    assert paths(model.features(np.ones((2, 3), np.float32))) == {"0 Dense", "1 ReLU"}
    layer = nn.Dense(3, 3)
    assert paths(nn.Sequential(layer, nn.ReLU(), layer)(np.ones((2, 3), np.float32))) == {
        "0 Dense", "1 ReLU", "2 Dense"
    }  # fmt: skip


def test_an_error_on_the_way_leaves_no_path_behind():
    model = mlp()
    with pytest.raises(ValueError, match=r"^0 Dense expects"):
        model(np.ones((2, 5), np.float32))
    assert paths(nn.ReLU()(Tensor(np.ones((1, 1))))) == {"ReLU"}


def test_a_call_returns_a_tensor_even_where_nothing_is_recorded():
    assert isinstance(nn.ReLU()(np.ones((1, 2))), Tensor)
    assert isinstance(nn.Sequential(nn.Flatten(), nn.Dropout(0.5))(np.ones((1, 2, 2))), Tensor)
    with pytest.raises(TypeError, match="Sequential: x must be an array or a Tensor, got list"):
        mlp()([[1.0, 2.0, 3.0, 4.0]])


def test_assignment_copies_into_the_parameter():
    model = mlp()
    tensor, memory = model[0].W, model[0].W.data
    model[0].W = np.arange(12).reshape(4, 3)
    assert model[0].W is tensor and tensor.data is memory and memory.dtype == np.float32
    assert (memory == np.arange(12).reshape(4, 3)).all()
    with pytest.raises(ValueError, match=r"^Dense.W expects shape \(4, 3\), got \(3, 4\)$"):
        model[0].W = np.ones((3, 4))
    with pytest.raises(TypeError, match="Dense.W expects numbers, got <U1"):
        model[0].W = np.full((4, 3), "a")
    with pytest.raises(TypeError, match="cannot become a computed tensor"):
        model[0].W = model[0].W * 2
    assert (memory == np.arange(12).reshape(4, 3)).all()


def test_a_tensor_ties_weights():
    a, b = nn.Dense(3, 3, rng=0), nn.Dense(3, 3, rng=1)
    b.W = a.W
    assert list(nn.Sequential(a, b).parameters()) == ["0.W", "0.b", "1.b"]


@pytest.mark.parametrize("update", ["assign", "load", "step"])
def test_a_tape_recorded_before_an_update_refuses_to_go_backward(update):
    model = mlp()
    x = np.random.default_rng(0).random((2, 4), np.float32)
    loss = losses.mse(model(x), np.zeros((2, 2), np.float32))
    stale = losses.mse(model(x), np.zeros((2, 2), np.float32))
    loss.backward()
    if update == "assign":
        model[2].W = np.ones((3, 2))
    elif update == "load":
        model.load_state_dict(model.state_dict())
    else:
        optim.SGD(model.parameters(), 0.1).step()
    with pytest.raises(RuntimeError, match="out of date"):
        stale.backward()
    losses.mse(model(x), np.zeros((2, 2), np.float32)).backward()


def test_gather_makes_every_distinct_parameter_a_view_of_one_array():
    layer = nn.Dense(3, 3, rng=0)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.Dense(3, 2, rng=1, dtype="float64"))
    x = np.random.default_rng(0).random((2, 3))
    optimiser, before = optim.SGD(model.parameters(), 0.1), model(x).data
    flat = model.gather()
    assert {k: v.shape for k, v in flat.items()} == {"float32": (12,), "float64": (8,)}
    assert (model(x).data == before).all()
    assert all(np.shares_memory(p.data, flat[p.dtype.name]) for p in model.parameters().values())
    assert model.gather()["float32"] is flat["float32"]
    layer.W = np.full((3, 3), 7.0)
    assert (flat["float32"][:9] == 7).all()
    losses.mse(model(x), np.zeros((2, 2))).backward()
    optimiser.step()
    assert model.gather()["float32"] is flat["float32"] and not (flat["float32"][:9] == 7).all()


def test_a_copy_has_its_own_memory():
    model = mlp()
    flat = model.gather()["float32"]
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        flat[...] = 1
        own = twin.gather()["float32"]
        assert not np.shares_memory(own, flat) and not (own == 1).all()
        own[...] = 2
        assert (twin[0].W.data == 2).all() and (flat == 1).all()


def test_state_is_a_copy_and_comes_back():
    model = nn.Sequential(nn.Dense(4, 3, rng=0), nn.BatchNorm1d(3))
    model(np.random.default_rng(0).random((5, 4), np.float32))
    state = model.state_dict()
    assert list(state) == ["0.W", "0.b", "1.W", "1.b", "1.running_mean", "1.running_var"]
    assert all(type(a) is np.ndarray and not np.shares_memory(a, model.leaves()[k]) for k, a in state.items())
    other = nn.Sequential(nn.Dense(4, 3, rng=5), nn.BatchNorm1d(3))
    other.load_state_dict(state)
    assert all((a == state[k]).all() for k, a in other.state_dict().items())
    assert (other[1].running_mean != 0).all()


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda d: d.pop("2.b"), "load_state_dict: 2.b is missing, expected float32 of shape (2,)"),
        (lambda d: d.update(more=d["0.b"]), "more (float32 of shape (3,)) is unexpected, the model has no such leaf"),
        (lambda d: d.update({"2.W": np.ones((2, 3), np.float32)}),
         "2.W is float32 of shape (2, 3), expected float32 of shape (3, 2)"),
        (lambda d: d.update({"2.W": np.ones((3, 2))}), "2.W is float64 of shape (3, 2), expected float32"),
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_whole(change, sentence):
    model = mlp()
    before, state = model.state_dict(), {k: a + 1 for k, a in model.state_dict().items()}
    change(state)
    with pytest.raises(ValueError) as error:
        model.load_state_dict(state)
    assert sentence in str(error.value)
    assert all((a == before[k]).all() for k, a in model.state_dict().items())


def test_train_and_eval_reach_every_module_and_nothing_but_statistics():
    model = nn.Sequential(nn.Sequential(nn.Dropout(0.5)), nn.BatchNorm1d(4))
    assert model.eval() is model and not any(m.training for m in model.modules().values())
    x = np.ones((200, 4), np.float32)
    noisy = model(x, rng=0).data
    assert (noisy == 0).any() and model.train() is model
    assert (nn.Dropout(0.5)(x).data == x).all()


def test_the_same_rng_gives_the_same_masks_in_path_order():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.3)))
    x = np.ones((50, 4))
    assert (model(x, rng=3).data == model(x, rng=np.random.default_rng(3)).data).all()
    rng = np.random.default_rng(3)
    assert (model(x, rng=3).data == model[1](model[0](x, rng=rng), rng=rng).data).all()
    assert not (model(x, rng=3).data == model(x, rng=4).data).all()
    with pytest.raises(TypeError, match="rng must be a numpy.random.Generator or an int >= 0, got 'x'"):
        model(x, rng="x")


def test_to_moves_everything_and_saving_moves_nothing():
    model = nn.Sequential(nn.Dense(4, 3, rng=0), nn.BatchNorm1d(3), nn.ReLU(), nn.Dense(3, 2, rng=1))
    x, labels = np.random.default_rng(0).random((6, 4), np.float32), np.array([0, 1, 1, 0, 1, 0])
    twin = copy.deepcopy(model).to("standin")
    assert {type(a) for a in twin.leaves().values()} == {DeviceArray}
    for m, bring in ((model, np.asarray), (twin, lambda a: backend.to(a, "standin"))):
        optimiser = optim.Adam(m.parameters(), 0.1)
        for _ in range(2):
            optimiser.zero_grad()
            losses.cross_entropy(m(bring(x), rng=0), bring(labels)).backward()
            optimiser.step()
    state = twin.state_dict()
    assert all((a == state[k]).all() for k, a in model.state_dict().items())
    assert {type(a) for a in state.values()} == {np.ndarray}
    assert {type(a) for a in twin.leaves().values()} == {DeviceArray}
    twin.load_state_dict(state)
    assert {type(a) for a in twin.gather().values()} == {DeviceArray}
    assert type(twin.to("numpy")[0].W.data) is np.ndarray


def test_layers_are_made_on_the_current_backend_with_the_same_numbers():
    with backend.use("standin"):
        layer = nn.Conv2d(1, 2, 3, rng=4)
    assert type(layer.W.data) is DeviceArray
    assert (layer.W.data.get() == nn.Conv2d(1, 2, 3, rng=4).W.data).all()


def test_summary_shows_paths_shapes_and_distinct_parameters():
    layer = nn.Dense(4, 4)
    model = nn.Sequential(nn.BatchNorm1d(4), layer, inner := nn.Sequential(nn.Dropout(0.5), layer))
    before = model.state_dict()
    assert model.summary(np.ones((3, 4), np.float32)).splitlines() == [
        "path  layer        output shape  parameters",
        "0     BatchNorm1d  (3, 4)                 8",
        "1     Dense        (3, 4)                20",
        "2.0   Dropout      (3, 4)                 0",
        "2.1   Dense        (3, 4)                 0",
        "      total                              28",
    ]
    assert model.training and inner.training
    assert all((a == before[k]).all() for k, a in model.state_dict().items())


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module must define forward"):
        nn.Module()(np.ones(1))


class Residual(nn.Module):
    def __init__(self, inner):
        self.inner = inner

    def forward(self, x, rng=None):
        return x + self.inner(x, rng)


class Concatenating(nn.Module):
    """Every block sees all that came before it."""

    def __init__(self, *blocks):
        self.blocks = blocks

    def forward(self, x, rng=None):
        for block in self.blocks:
            x = ops.concat([x, block(x, rng)], 1)
        return x


def test_skips_by_subclassing_keep_both_laws():
    def conv(c_in, c_out, rng):
        return nn.Conv2d(c_in, c_out, 3, padding="same", rng=rng, dtype="float64")

    model = nn.Sequential(
        Residual(nn.Sequential(conv(2, 2, 0), nn.ReLU(), conv(2, 2, 1))),
        Concatenating(nn.Sequential(conv(2, 3, 2), nn.ReLU()), nn.Sequential(conv(5, 1, 3), nn.Tanh())),
        nn.MaxPool2d(2),
        nn.Flatten(),
        Residual(nn.Dense(54, 54, rng=4, dtype="float64")),
        nn.Dense(54, 3, rng=5, dtype="float64"),
    )
    rng = np.random.default_rng(0)
    for p in model.parameters().values():
        p.data += rng.normal(size=p.shape) * 0.1
    x = rng.normal(size=(4, 2, 6, 6))
    rows = (
        ("1.*", explain.rules.alpha_beta(2, -1)),
        (nn.Conv2d, explain.rules.epsilon(0.01)),
        (explain.rules.ANY, explain.rules.basic()),
    )
    for result in (
        explain.lrp(model, x, 1),
        explain.lrp(model, x, 1, rules=rows),
        explain.deeplift(model, x, 1, reference=0.0),
        explain.deeplift(model, x, 1, reference=rng.normal(size=x.shape), rules=explain.rules.reveal_cancel()),
    ):
        assert (abs(result.residual) <= 1e-12 * result.flow).all()
        assert abs(result.scores).max() > 0.01
    assert "1.blocks.0.0" in explain.lrp(model, x, 1).absorbed_by
    with no_grad():
        assert model(x).op is None
