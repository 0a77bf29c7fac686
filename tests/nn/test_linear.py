"""The layer against dense products, and against what factorize finds."""

import copy
import io
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from architectures import chainable_architectures
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmf
from fsmf.errors import InputTypeError, ShapeError

torch = pytest.importorskip("torch")
from fsmf.nn import KroneckerSparseLinear  # noqa: E402

CHAINS = {
    "butterfly": fsmf.butterfly(64),
    "rectangular": fsmf.butterfly(48, 36, rank=2),
    "monarch": fsmf.monarch(32, 16, blocks=4),
    "kaleidoscope": fsmf.kaleidoscope(8),  # not chainable: nothing is multiplied out
    "one factor": fsmf.Architecture([(2, 3, 4, 2)]),
    "large": fsmf.butterfly(512),
}
each_chain = pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)


def dense_factors(layer):
    """The factors by definition: values in row-major order of the supports, as tensors with gradients."""
    found = []
    for pattern, factor in zip(layer.architecture.patterns, layer.factors, strict=True):
        rows, columns = np.nonzero(pattern.toarray())
        dense = torch.zeros(pattern.shape, dtype=factor.dtype)
        found.append(dense.index_put((torch.tensor(rows), torch.tensor(columns)), factor.reshape(-1)))
    return found


def dense_weight(layer):
    product, *rest = dense_factors(layer)
    for factor in rest:
        product = product @ factor
    return product


def gradients_of(layer, outputs, G):
    parameters = list(layer.parameters())
    return torch.autograd.grad((outputs * G).sum(), parameters)


def assert_agrees_with_autograd_of_the_dense_product(layer, n_samples=5):
    x = torch.randn(n_samples, layer.in_features, dtype=torch.float64, requires_grad=True)
    expected = x @ dense_weight(layer).T + (0 if layer.bias is None else layer.bias)
    found = layer(x)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    G = torch.randn_like(found)
    inputs = [x, *layer.parameters()]
    ours = torch.autograd.grad((found * G).sum(), inputs)
    theirs = torch.autograd.grad((expected * G).sum(), inputs)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-11)


@each_chain
@pytest.mark.parametrize(("bias", "n_samples"), [(True, 1), (False, 20), (True, 70)])
def test_outputs_and_gradients_are_those_of_the_dense_product(chain, bias, n_samples):
    torch.manual_seed(0)
    layer = KroneckerSparseLinear(chain, bias=bias, dtype=torch.float64)
    assert_agrees_with_autograd_of_the_dense_product(layer, n_samples)


@settings(max_examples=15)
@given(chainable_architectures(max_splits=6), st.integers(0, 2**31), st.sampled_from([3, 17]))
def test_so_they_are_of_any_chain(chain, seed, n_samples):
    torch.manual_seed(seed)
    layer = KroneckerSparseLinear(chain, dtype=torch.float64)
    assert_agrees_with_autograd_of_the_dense_product(layer, n_samples)


@each_chain
def test_so_they_are_by_the_operations_of_pytorch_alone(chain):
    torch.manual_seed(0)
    layer = KroneckerSparseLinear(chain, dtype=torch.float64)
    layer.__dict__["_kernels"] = None
    assert_agrees_with_autograd_of_the_dense_product(layer)


def test_gradients_are_slopes_and_have_gradients():
    torch.manual_seed(0)
    layer = KroneckerSparseLinear(fsmf.butterfly(12, 8), dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]

    def outputs(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    x = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(outputs, (x, *layer.parameters()))
    assert torch.autograd.gradgradcheck(outputs, (x, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize(
    "samples",
    [
        lambda x: x[:5, ::2],
        lambda x: x[:64, :24].T,
        lambda x: x[:1, :64].expand(5, 64),
        lambda x: x[:0, :64],
        lambda x: x[3:, 1:65],
    ],
    ids=["every second", "transposed", "repeated", "none", "shifted"],
)
def test_samples_may_lie_in_any_way(samples):
    layer = KroneckerSparseLinear(fsmf.butterfly(64), dtype=torch.float64)
    x, W = samples(torch.randn(128, 128, dtype=torch.float64)).requires_grad_(), dense_weight(layer)
    y = layer(x)
    y.sum().backward()  # whose gradient is one number, repeated
    ones = torch.ones(len(x), 64, dtype=torch.float64)
    torch.testing.assert_close(y, x @ W.T + layer.bias)
    torch.testing.assert_close(x.grad, ones @ W)
    torch.testing.assert_close(layer.bias.grad, ones.sum(0))


def test_what_is_frozen_gets_no_gradient():
    layer = KroneckerSparseLinear(fsmf.butterfly(16), dtype=torch.float64)
    x = torch.randn(3, 16, dtype=torch.float64)
    layer.factors[1].requires_grad_(False)
    layer(x).sum().backward()
    found = [name for name, parameter in layer.named_parameters() if parameter.grad is not None]
    assert found == ["bias", "factors.0", "factors.2", "factors.3"]
    layer.requires_grad_(False)
    x.requires_grad_()
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, dense_weight(layer).sum(0).expand(3, 16))


def test_a_step_is_the_same_each_time_on_any_number_of_threads():
    torch.manual_seed(0)
    layer = KroneckerSparseLinear(fsmf.butterfly(512))
    assert layer._kernels is not None
    x, before, found = torch.randn(700, 512), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2, 3):
            torch.set_num_threads(threads)
            y = layer(x)
            found.append([y, *gradients_of(layer, y, torch.ones_like(y))])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))


def test_each_sample_has_its_gradient():
    layer = KroneckerSparseLinear(fsmf.butterfly(16))
    X = torch.randn(4, 16)

    def loss(values, x):
        return torch.func.functional_call(layer, values, (x,)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(dict(layer.named_parameters()), X)
    for i, x in enumerate(X):
        y = layer(x)
        for name, one in zip(each, gradients_of(layer, y, 2 * y.detach()), strict=True):
            torch.testing.assert_close(each[name][i], one)


def test_half_precision_is_left_to_pytorch():
    layer = KroneckerSparseLinear(fsmf.butterfly(16), bias=False)
    x = torch.randn(4, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), rtol=0.1, atol=0.1)


def trained(n):
    """A dense layer after some training."""
    torch.manual_seed(1)
    layer = torch.nn.Linear(n, n)
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
    X = torch.randn(256, n)
    for _ in range(30):
        optimizer.zero_grad()
        (layer(X) - torch.cumsum(X, 1)).square().mean().backward()
        optimizer.step()
    return layer


@pytest.mark.parametrize(
    "chain", [fsmf.butterfly(64), fsmf.monarch(64, blocks=8)], ids=["butterfly", "monarch"]
)
@pytest.mark.parametrize("kind", ["random", "trained"])
def test_from_linear_is_what_factorize_finds(chain, kind):
    torch.manual_seed(0)
    dense = torch.nn.Linear(64, 64) if kind == "random" else trained(64)
    layer = KroneckerSparseLinear.from_linear(dense, chain)
    F = fsmf.factorize(dense.weight.detach().numpy(), chain)
    for factor, values in zip(layer.factors, F.values, strict=True):
        np.testing.assert_array_equal(factor.detach().numpy().reshape(-1), values)
    x = torch.randn(7, 64)
    expected = (F @ x.numpy().T).T + dense.bias.detach().numpy()
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(layer.weight.detach().numpy(), F.to_dense(), rtol=1e-5, atol=1e-6)
    distance = np.linalg.norm(layer.weight.detach().numpy() - dense.weight.detach().numpy())
    assert distance == pytest.approx(F.relative_error * np.linalg.norm(dense.weight.detach()), rel=1e-4)


def test_a_layer_that_is_such_a_product_is_found_again():
    H = torch.tensor(fsmf.transforms.hadamard(32).to_dense(), dtype=torch.float64)
    dense = torch.nn.Linear(32, 32, bias=False, dtype=torch.float64)
    dense.weight.data = H
    layer = KroneckerSparseLinear.from_linear(dense, fsmf.butterfly(32))
    torch.testing.assert_close(layer.weight.detach(), H)
    assert layer.bias is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_dtype_and_mode_are_kept(dtype):
    dense = torch.nn.Linear(16, 16, dtype=dtype).eval()
    layer = KroneckerSparseLinear.from_linear(dense, fsmf.butterfly(16))
    assert not layer.training
    assert {parameter.dtype for parameter in layer.parameters()} == {dtype}
    assert layer(torch.ones(2, 16, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("lead", [(), (3,), (2, 0), (2, 3, 4)])
def test_the_last_axis_is_replaced_as_linear_does(lead):
    layer = KroneckerSparseLinear(fsmf.monarch(12, 8, blocks=4))
    y = layer(torch.randn(*lead, 8))
    assert y.shape == (*lead, 12)
    assert y.is_contiguous()


def test_a_state_dict_makes_the_same_layer():
    layers = [KroneckerSparseLinear(fsmf.butterfly(16)) for _ in range(2)]
    file = io.BytesIO()
    torch.save(layers[0].state_dict(), file)
    file.seek(0)
    assert not torch.equal(layers[0].weight, layers[1].weight)
    layers[1].load_state_dict(torch.load(file))
    assert list(layers[0].state_dict()) == ["bias", *(f"factors.{i}" for i in range(4))]
    for other in (layers[1], copy.deepcopy(layers[0]), pickle.loads(pickle.dumps(layers[0]))):
        torch.testing.assert_close(other.weight, layers[0].weight, rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore")  # of PyTorch's own making
@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor",
            marks=[pytest.mark.slow, pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")],
        ),
    ],
)
def test_it_can_be_compiled(backend):
    """Forward and backward are one graph each, of which machine code is made where there is a compiler."""
    torch.manual_seed(0)
    layer = KroneckerSparseLinear(fsmf.butterfly(32))
    x = torch.randn(4, 32, requires_grad=True)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    expected, found = layer(x), compiled(x)
    torch.testing.assert_close(found, expected)
    G = torch.randn_like(expected)
    for one, other in zip(gradients_of(layer, found, G), gradients_of(layer, expected, G), strict=True):
        torch.testing.assert_close(one, other)


def test_new_layers_vary_as_new_linear_layers_do():
    torch.manual_seed(0)
    x = torch.randn(400, 256)
    ours = torch.stack([KroneckerSparseLinear(fsmf.butterfly(256), bias=False)(x) for _ in range(20)])
    theirs = torch.stack([torch.nn.Linear(256, 256, bias=False)(x) for _ in range(20)])
    assert ours.var().item() == pytest.approx(theirs.var().item(), rel=0.15)


def test_it_learns():
    torch.manual_seed(0)
    layer = KroneckerSparseLinear(fsmf.butterfly(16), bias=False, dtype=torch.float64)
    H = torch.tensor(fsmf.transforms.hadamard(16).to_dense(), dtype=torch.float64)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=500, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = (layer.weight - H).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    assert loss().item() < 1e-8


def test_it_says_what_it_is():
    assert "in_features=8, out_features=12, bias=True, Architecture(" in repr(
        KroneckerSparseLinear(fsmf.monarch(12, 8, blocks=4))
    )


def test_what_does_not_fit_is_told():
    dense = torch.nn.Linear(16, 16)
    with pytest.raises(InputTypeError, match="Architecture makes one"):
        KroneckerSparseLinear(fsmf.lu(16))
    with pytest.raises(ShapeError, match="must agree"):
        KroneckerSparseLinear.from_linear(dense, fsmf.butterfly(8))
    turned = fsmf.factorize(np.eye(16), fsmf.hodlr(16, rank=1))
    with pytest.raises(InputTypeError, match="with an Architecture"):
        KroneckerSparseLinear.from_factorization(turned, dense)
    F = fsmf.factorize(np.eye(8), fsmf.butterfly(8))
    with pytest.raises(ShapeError, match="must agree"):
        KroneckerSparseLinear.from_factorization(F, dense)


def test_without_torch_it_is_told_what_to_install():
    program = """
import sys
sys.modules["torch"] = None
import fsmf
try:
    fsmf.nn.compress
except ImportError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "pip install fsmf[torch]" in run.stdout


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # PyTorch's own use of it
def test_it_is_transformed_and_differentiated_in_every_mode():
    layer = KroneckerSparseLinear(fsmf.butterfly(64)).double()
    x = torch.randn(20, 64, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    W = layer.weight.detach()
    tangent = torch.func.jvp(layer, (x,), (x.flip(0),))[1]
    torch.testing.assert_close(tangent, x.flip(0) @ W.T)
    several = torch.stack([x, 2 * x, x + 1])
    torch.testing.assert_close(torch.func.vmap(layer)(several), layer(several))
    y = x.clone().requires_grad_()
    (first,) = torch.autograd.grad((layer(y) ** 2).sum(), y, create_graph=True)
    torch.testing.assert_close(torch.autograd.grad(first.sum(), y)[0], (2 * (W.T @ W).sum(0)).expand(20, 64))
