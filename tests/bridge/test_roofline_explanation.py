"""What is said about a pruned network, on a machine whose every cost is known."""

import json

import pytest
import torch
from synthetic_machine import EXTRA, machine, seconds_of, time_call
from torch import nn

from neuroprune.bridge.roofline import explain, intensity, make_variants, mask_by_magnitude, predict, time_layers
from neuroprune.bridge.roofline.layer_times import _charge
from neuroprune.bridge.sparse_linear import SparseLinear
from neuroprune.bridge.zoo import make_model
from neuroprune.core.errors import SpecificationError


def network(width: int = 400) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)).eval()


def sparse_copy(model: nn.Sequential, sparsity: float) -> nn.Sequential:
    masked = mask_by_magnitude(model, sparsity)
    return nn.Sequential(*(SparseLinear.from_linear(m) if isinstance(m, nn.Linear) else m for m in masked))  # type: ignore[attr-defined]


def test_a_prediction_is_the_sum_of_its_layers() -> None:
    model, x = network(), (torch.randn(16, 400),)
    found = predict(model, x, machine())
    assert found.dtype == "float32" and [layer.name for layer in found.layers] == ["", "0", "1", "2"]
    assert found.seconds == pytest.approx(sum(layer.seconds for layer in found.layers))
    assert found.flops == 2 * 16 * 400 * 410
    # ReLU has no cost of its own on this machine, and that is said.
    assert found.uncalibrated == ("elementwise",)
    linear = nn.Sequential(nn.Linear(400, 400))
    exact = seconds_of(list(intensity(linear, x).values()), extra=EXTRA)
    assert predict(linear, x, machine()).seconds == pytest.approx(exact)


def test_a_mask_brings_nothing() -> None:
    model, x = network(), (torch.randn(1, 400),)
    found = explain(model, mask_by_magnitude(model, 0.9), x, machine(), measure=False)
    assert found.removed == pytest.approx(0.9) and found.speedup < 1 and found.measured_speedup is None
    layer = next(layer for layer in found.layers if layer.name == "0")
    assert layer.removed == pytest.approx(0.9)
    assert "90% of its operations are needless" in layer.sentence
    assert "zeros in a dense matrix are numbers as others, and its mask moves" in layer.sentence
    zeros = network()
    with torch.no_grad():
        zeros[0].weight[:, 40:] = 0  # type: ignore[index]
    layer = next(x for x in explain(model, zeros, x, machine(), measure=False).layers if x.name == "0")
    assert "as fast as before" in layer.sentence and "mask" not in layer.sentence


def test_a_sparse_layer_pays_for_every_connection() -> None:
    model, x = network(), (torch.randn(64, 400),)
    found = explain(model, sparse_copy(model, 0.9), x, machine(), measure=False)
    layer = next(layer for layer in found.layers if layer.name == "0")
    assert layer.removed == pytest.approx(0.9) and layer.speedup is not None and 1 < layer.speedup < 10
    # 3.0 of the peak against 1.2, to which some work on the dense weights comes.
    assert "instead of 10: each operation takes 2.4 times as long" in layer.sentence
    assert found.sentence.startswith("90% of the operations are needless, which by itself promises 10 times")


def test_a_small_layer_is_its_call() -> None:
    model, x = network(), (torch.randn(1, 400),)
    slim = nn.Sequential(nn.Linear(400, 4), nn.ReLU(), nn.Linear(4, 10)).eval()
    found = explain(model, slim, x, machine(), measure=False)
    layer = next(layer for layer in found.layers if layer.name == "0")
    assert layer.removed == pytest.approx(0.99)
    assert "is the call itself, which costs the same for any size" in layer.sentence
    assert layer.speedup is not None and f"{layer.speedup:.2g} times as fast instead of 100" in layer.sentence


def test_layers_that_are_gone_new_or_without_products() -> None:
    model, x = network(), (torch.randn(2, 400),)
    other = nn.Sequential(model[0], nn.ReLU(), model[2], nn.ReLU())
    by_name = {layer.name: layer.sentence for layer in explain(model, other, x, machine(), measure=False).layers}
    assert by_name["3"] == "is new" and by_name["0"].startswith("nothing was removed")
    assert by_name["1"].startswith("no products to prune; bound by")
    by_name = {layer.name: layer.sentence for layer in explain(other, model, x, machine(), measure=False).layers}
    assert by_name["3"] == "is gone"


def test_both_are_measured_and_put_into_json() -> None:
    model, x = network(40), (torch.randn(2, 40),)
    found = explain(model, sparse_copy(model, 0.5), x, machine(), time_call=time_call)
    assert found.measured_dense == pytest.approx(seconds_of(list(intensity(model, x).values()), extra=0.0))
    assert found.measured_speedup is not None and "measured" in found.sentence
    content = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [layer["name"] for layer in content["layers"]] == ["", "0", "1", "2"]
    dense = content["layers"][1]["dense"]
    assert dense["flops"] == 2 * 2 * 40 * 40 and dense["measured_seconds"] >= 0
    assert dense["predicted_seconds"] == pytest.approx(sum(dense["parts"].values()))


def test_time_is_charged_to_what_is_on_top() -> None:
    log = [("", 0.0), ("a", 1.0), (None, 3.0), ("b", 3.5), ("b", 4.0), (None, 5.0), (None, 7.0), (None, 8.0)]
    took, entries, children = _charge(log)
    assert took == {"": 2.5, "a": 2.0, "b": 3.5}
    assert dict(entries) == {"": 1, "a": 1, "b": 2} and dict(children) == {"": 2, "b": 1}


@pytest.mark.parametrize("training", [True, False])
def test_layers_are_timed_under_the_names_of_their_work(training: bool) -> None:
    model, x = make_model("vit-tiny", (1, 8, 8), 10).train(training), (torch.randn(1, 1, 8, 8),)
    found = time_layers(model, x, passes=3)
    assert list(found) == list(intensity(model, x)) and all(seconds >= 0 for seconds in found.values())
    assert model.training == training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_variants_of_a_network() -> None:
    model, x = make_model("small-cnn", (1, 8, 8), 10).eval(), (torch.randn(4, 1, 8, 8),)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = make_variants(model, x, 0.75, time_call=time_call)
    work = {name: intensity(getattr(found, name), x) for name in ("masked", "sparse", "slimmed")}
    dense = sum(layer.flops for layer in intensity(model, x).values())
    assert sum(layer.flops for layer in work["masked"].values()) == dense
    assert sum(layer.flops for layer in work["slimmed"].values()) <= 0.25 * dense
    assert {n: round(layer.density, 2) for n, layer in work["masked"].items() if layer.flops} == dict.fromkeys(
        ("0", "3", "7", "12", "14"), 0.25
    )
    assert [c.name for c in found.choices] == ["12", "14"] and not found.missing
    with torch.no_grad():
        torch.testing.assert_close(found.sparse(*x), found.masked(*x), rtol=1e-4, atol=1e-5)  # type: ignore[misc]
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    with pytest.raises(SpecificationError, match="sparsity is 1, and must be between 0 and 1"):
        make_variants(model, x, 1)


def test_a_form_that_cannot_be_made_is_named() -> None:
    model, x = nn.Sequential(nn.Linear(4, 3)).eval(), (torch.randn(2, 4),)
    found = make_variants(model, x, 0.5, time_call=time_call)
    assert found.slimmed is None and set(found.missing) == {"slimmed"}
    found = make_variants(model.bfloat16(), (x[0].bfloat16(),), 0.5, time_call=time_call)
    assert found.sparse is None and "not torch.bfloat16" in found.missing["sparse"]


def test_weights_that_are_all_zero_have_nothing_to_remove() -> None:
    model, x = network(40), (torch.randn(2, 40),)
    with torch.no_grad():
        model[0].weight.zero_()  # type: ignore[index]
    found = explain(model, mask_by_magnitude(model, 0.5), x, machine(), measure=False)
    assert {layer.name: round(layer.removed, 2) for layer in found.layers} == {"": 0, "0": 0, "1": 0, "2": 0.5}
    assert found.removed == pytest.approx(0.5)
    with torch.no_grad():
        model[2].weight.zero_()  # type: ignore[index]
    found = explain(model, mask_by_magnitude(model, 0.5), x, machine(), measure=False)
    assert found.removed == 0 and "0% of the operations are needless" in found.sentence


def test_what_a_module_with_layers_within_holds_is_pruned_too() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.relu = nn.Parameter(torch.ones(10, 8)), nn.ReLU()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.relu(x @ self.weight)

    dense, pruned = Holder(), Holder()
    with torch.no_grad():
        pruned.weight[1:] = 0
    found = explain(dense, pruned, (torch.randn(2, 10),), machine(), measure=False)
    assert found.removed == pytest.approx(0.9)
