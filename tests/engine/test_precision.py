import pytest
import torch
from torch.nn.functional import linear

from taskgraft.engine import precision as precision_module
from taskgraft.engine.precision import OneDnnLinear, uses_onednn


@pytest.fixture(autouse=True)
def gaining(monkeypatch):
    """Decide as on a CPU that gains; oneDNN computes the same everywhere."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(precision_module, "_cpu_gains", lambda: True)
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(1_100,), (5, 200), (2, 3, 90)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_gives_the_same_in_fp32(shape, bias):
    value, weight = torch.randn(*shape, 384), torch.randn(300, 384)
    offset = torch.randn(300) if bias else None
    with torch.no_grad():
        assert uses_onednn(value, weight, offset)
        exact = linear(value.double(), weight.double(), None if offset is None else offset.double())
        with OneDnnLinear():
            found = linear(value, weight, offset)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=3e-4)


def test_weights_with_other_strides_give_the_same():
    value, weight = torch.randn(384, 500).t(), torch.randn(384, 300).t()
    with torch.no_grad(), OneDnnLinear():
        found = linear(value, weight)
    torch.testing.assert_close(found, linear(value, weight), rtol=0, atol=3e-4)


def test_a_changed_weight_is_used_at_once():
    value, layer = torch.randn(500, 384), torch.nn.Linear(384, 300)
    with torch.no_grad(), OneDnnLinear():
        before = layer(value)
        layer.weight.mul_(2)
        layer.bias.mul_(2)
        torch.testing.assert_close(layer(value), 2 * before)


def test_it_is_oneDNN_that_computes():
    value, weight = torch.randn(500, 384), torch.randn(300, 384)
    with torch.no_grad(), OneDnnLinear(), torch.profiler.profile() as profile:
        linear(value, weight)
    assert "aten::mkldnn_linear" in {event.key for event in profile.key_averages()}


@pytest.mark.parametrize(
    ("value", "weight"),
    [
        (torch.zeros(8, 384), torch.zeros(384, 384)),
        (torch.zeros(500, 384, dtype=torch.float64), torch.zeros(300, 384, dtype=torch.float64)),
        (torch.zeros(500, 384, dtype=torch.bfloat16), torch.zeros(300, 384, dtype=torch.bfloat16)),
        (torch.zeros(500, 384, device="meta"), torch.zeros(300, 384, device="meta")),
    ],
    ids=["small", "double", "bf16", "meta"],
)
def test_everything_else_is_computed_as_usual(value, weight):
    with torch.no_grad():
        assert not uses_onednn(value, weight)


def test_trainable_weights_are_multiplied_as_usual():
    value, weight = torch.randn(500, 384), torch.randn(300, 384, requires_grad=True)
    assert not uses_onednn(value, weight)
    with OneDnnLinear():
        linear(value, weight).sum().backward()
    assert weight.grad is not None


def test_autocast_is_left_to_torch():
    value, weight = torch.randn(500, 384), torch.randn(300, 384)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), OneDnnLinear():
        assert not uses_onednn(value, weight)
        assert linear(value, weight).dtype == torch.bfloat16


def test_other_cpus_compute_as_usual(monkeypatch):
    monkeypatch.setattr(precision_module, "_cpu_gains", lambda: False)
    with torch.no_grad():
        assert not uses_onednn(torch.zeros(500, 384), torch.zeros(300, 384))
