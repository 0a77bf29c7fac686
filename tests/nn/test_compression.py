"""Models whose linear layers are replaced, layer by layer as factorize would."""

import numpy as np
import pytest

import fsmf
from fsmf.errors import InputTypeError, ShapeError

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from fsmf.nn import KroneckerSparseLinear, compress  # noqa: E402


class Model(nn.Module):
    """Two linear layers, one of which stands in two places, and one that is not to be touched."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(24, 16)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.ReLU())
        self.again = self.body[0]
        self.attention = nn.MultiheadAttention(16, 2)  # its projection is a class derived from Linear

    def forward(self, x):
        return self.again(self.body(self.stem(x)))


def square_only(m, n):
    return fsmf.butterfly(m) if m == n else None


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


def test_layers_are_replaced_and_the_model_is_not_changed(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = compress(model, square_only)
    assert [layer.name for layer in found.layers] == ["body.0"]
    assert isinstance(found.model.body[0], KroneckerSparseLinear)
    assert found.model.again is found.model.body[0]
    assert type(found.model.stem) is nn.Linear
    assert type(found.model.attention.out_proj) is type(model.attention.out_proj)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_new_model_computes_with_the_products(model):
    found = compress(model, square_only).model
    with torch.no_grad():
        W = model.body[0].weight
        W.copy_(torch.from_numpy(fsmf.factorize(W.numpy(), fsmf.butterfly(16)).to_dense()))
    x = torch.randn(5, 24)
    torch.testing.assert_close(found(x), model(x), rtol=1e-4, atol=1e-5)


def test_the_account_is_right(model):
    found = compress(model, square_only)
    (layer,) = found.layers
    W = model.body[0].weight.detach().numpy()
    product = found.model.body[0].weight.detach().numpy()
    assert layer.relative_error == pytest.approx(np.linalg.norm(W - product) / np.linalg.norm(W), rel=1e-4)
    assert (layer.n_parameters, layer.n_dense_parameters) == (16 * 2 * 4, 256)
    assert (layer.n_flops, layer.n_dense_flops) == (256, 512)
    assert found.n_dense_parameters - found.n_parameters == 256 - 128
    assert found.n_parameters == sum(parameter.numel() for parameter in found.model.parameters())
    lines = str(found).splitlines()
    assert lines[1].split()[:2] == ["body.0", "16×16"]
    assert f"{found.n_dense_parameters} → {found.n_parameters}" in lines[-1]


def test_layers_can_be_left_out(model):
    found = compress(model, fsmf.butterfly, only=lambda name, layer: name == "stem")
    assert [layer.name for layer in found.layers] == ["stem"]
    assert found.model.stem.architecture == fsmf.butterfly(16, 24)


def test_a_model_may_be_one_layer():
    found = compress(nn.Linear(8, 8), fsmf.butterfly(8))
    assert isinstance(found.model, KroneckerSparseLinear)


def test_the_new_model_can_be_trained(model):
    found = compress(model, square_only).model
    optimizer = torch.optim.Adam(found.parameters(), lr=1e-2)
    X = torch.randn(64, 24)
    Y = X[:, :16]
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = (found(X) - Y).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_what_does_not_fit_is_told(model):
    with pytest.raises(ShapeError, match="only="):
        compress(model, fsmf.butterfly(16))
    with pytest.raises(InputTypeError, match="function of the numbers"):
        compress(model, "butterfly")
