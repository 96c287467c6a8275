"""Importance, redundancy and selection of heads: against finite differences, planted twins and planted importance."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.heads import (
    CRITERIA,
    Batch,
    CrossEntropy,
    HeadReport,
    OwnClasses,
    SelfDistance,
    attending,
    gate_gradients,
    head_report,
    remove_heads,
    select_heads,
    without_heads,
)
from neuroprune.bridge.zoo import SelfAttention, VisionTransformer
from neuroprune.core.errors import SpecificationError

LN2 = math.log(2)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def small() -> VisionTransformer:
    model = VisionTransformer((1, 4, 4), 3, patch=2, width=12, depth=2, n_heads=3, hidden=16)
    with torch.no_grad():  # sharper than at random initialisation, so that heads differ
        for block in model.blocks:
            block.attention.q.weight *= 6  # type: ignore[union-attr, operator]
    return model


def images(n: int = 5) -> Batch:
    return Batch((torch.randn(n, 1, 4, 4),), torch.randint(3, (n,)))


def made(fisher: list[float], js: np.ndarray, *, layers: tuple[str, ...] | None = None, **others) -> HeadReport:
    n = len(fisher)
    layers = ("a",) * n if layers is None else layers
    indices = np.array([layers[:k].count(layer) for k, layer in enumerate(layers)])
    return HeadReport(layers, indices, others.get("entropy", np.ones(n)), js, np.array(fisher), 10)


def apart(n: int, js: float = 0.4) -> np.ndarray:
    return js * (1 - np.eye(n))


@pytest.mark.parametrize("loss", [CrossEntropy(), OwnClasses(2), SelfDistance(2)])
def test_the_gradient_of_a_gate_is_the_finite_difference(loss) -> None:
    model, batch = small().double(), Batch((torch.randn(5, 1, 4, 4).double(),), torch.randint(3, (5,)))
    found = gate_gradients(model, batch, loss, torch.Generator().manual_seed(3))
    assert {layer: tuple(g.shape) for layer, g in found.items()} == {
        f"blocks.{k}.attention": (loss.draws, 5, 3) for k in range(2)
    }
    eps = 1e-5

    def losses(layer: str, head: int, step: float) -> torch.Tensor:
        gate = torch.ones(3, 1, 1, dtype=torch.float64)
        gate[head] += step
        with torch.no_grad(), attending(model, change=lambda name, h: h * gate if name == layer else h):
            output = batch.run(model)
        # What is drawn, and the embedding that is kept, are those of the network as it is.
        return _losses_at(loss, output, model, batch)

    for layer, g in found.items():
        for head in range(3):
            slope = (losses(layer, head, eps) - losses(layer, head, -eps)) / (2 * eps)
            torch.testing.assert_close(g[:, :, head].double(), slope, rtol=1e-4, atol=1e-6)


def _losses_at(loss, output: torch.Tensor, model: nn.Module, batch: Batch) -> torch.Tensor:
    """Return each draw's losses of an output, written down apart from the library."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        own = batch.run(model)
    rows = []
    for _ in range(loss.draws):
        if isinstance(loss, CrossEntropy):
            rows.append(functional.cross_entropy(output, batch.targets, reduction="none"))  # type: ignore[arg-type]
        elif isinstance(loss, OwnClasses):
            drawn = torch.multinomial(own.softmax(-1), 1, generator=generator)[:, 0]
            rows.append(-output.log_softmax(-1).gather(1, drawn[:, None])[:, 0])
        else:
            target = own / own.norm(dim=1, keepdim=True) + torch.randn(own.shape, generator=generator)
            rows.append(((output / output.norm(dim=1, keepdim=True) - target) ** 2).sum(1) / 2)
    return torch.stack(rows)


def test_fisher_is_the_mean_of_squares_over_samples_however_they_are_batched() -> None:
    model, batch = small(), images(6)
    g = torch.cat(list(gate_gradients(model, batch, CrossEntropy(), torch.Generator()).values()), -1)[0]
    whole = head_report(model, [batch], CrossEntropy())
    np.testing.assert_allclose(whole.fisher, g.square().mean(0), rtol=1e-5)
    x, y = batch.inputs[0], batch.targets  # type: ignore[index]
    assert y is not None
    parts = head_report(model, [Batch((x[:1],), y[:1]), Batch((x[1:],), y[1:])], CrossEntropy())
    for name in ("entropy", "divergence", "fisher"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-7)
    assert (whole.samples, parts.samples, len(whole)) == (6, 6, 6)
    assert model.training  # as it was


def test_half_the_self_distance_information_is_what_a_small_step_costs() -> None:
    model, batch = small().double().eval(), Batch((torch.randn(40, 1, 4, 4).double(),))
    fisher = head_report(model, [batch], SelfDistance(400)).fisher
    own = functional.normalize(batch.run(model), dim=1).detach()
    step = 1e-3
    for k, head in ((0, 1), (1, 2)):
        gate = torch.ones(3, 1, 1, dtype=torch.float64)
        gate[head] -= step

        def dim(name: str, h: torch.Tensor, gate=gate, layer=f"blocks.{k}.attention") -> torch.Tensor:
            return h * gate if name == layer else h

        with torch.no_grad(), attending(model, change=dim):
            e = functional.normalize(batch.run(model), dim=1)
        cosine_distance = float((1 - (e * own).sum(1)).mean())
        assert cosine_distance / step**2 == pytest.approx(fisher[3 * k + head] / 2, rel=0.1)


def test_a_head_that_nothing_reads_has_no_importance_and_goes_first() -> None:
    model = small()
    with torch.no_grad():
        model.blocks[1].attention.o.weight[:, 8:] = 0  # type: ignore[union-attr, index]
    report = head_report(model, [images()], CrossEntropy())
    assert report.fisher[5] == 0 and (report.fisher[:5] > 0).all()
    for criterion in ("fisher", "fisher-js"):
        assert select_heads(report, n=1, criterion=criterion) == {"blocks.1.attention": (2,)}


def test_planted_twins_are_one_cluster_and_one_of_them_stays() -> None:
    model = small()
    with torch.no_grad():
        for part in ("q", "k"):
            layer = getattr(model.blocks[0].attention, part)
            layer.weight[8:], layer.bias[8:] = layer.weight[:4], layer.bias[:4]
    report = head_report(model, [images(8)], CrossEntropy())
    assert report.divergence[0, 2] == 0 and report.divergence[0, 1] > 0
    clusters = report.clusters(1e-6)
    assert clusters[0] == clusters[2] and len(set(clusters)) == 5
    assert len(set(report.clusters(LN2))) == 1
    gone = select_heads(report, n=1, criterion="js")
    assert gone in ({"blocks.0.attention": (0,)}, {"blocks.0.attention": (2,)})
    # The other twin is no longer near another.
    (first,) = gone["blocks.0.attention"]
    rest = report.nearest(np.arange(6) != first)
    assert rest[2 - first] > 0


def test_silent_heads_are_measured_as_silent() -> None:
    model = small()
    with without_heads(model, {"blocks.0.attention": [1]}):
        report = head_report(model, [images()], CrossEntropy())
    assert report.fisher[1] == 0 and (np.delete(report.fisher, 1) > 0).all()
    multi = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1)
    model = nn.Sequential(multi, nn.Flatten(), nn.Linear(24, 3))
    with without_heads(model, {"0.layers.0.self_attn": [0]}):
        report = head_report(model, [Batch((torch.randn(4, 3, 8),), torch.tensor([0, 1, 2, 0]))], CrossEntropy())
    assert report.fisher[0] == 0 and report.fisher[1] > 0


def test_an_important_head_is_kept() -> None:
    js = apart(4, 0.2)
    report = made([0.1, 50.0, 0.2, 0.3], js)
    for criterion in ("fisher", "fisher-js"):
        assert select_heads(report, n=3, criterion=criterion) == {"a": (0, 2, 3)}


def test_the_twin_of_equal_importance_goes_before_a_head_apart() -> None:
    js = apart(4, 0.4)
    js[2, 3] = js[3, 2] = 0.01
    report = made([1.0, 1.1, 1.2, 1.3], js)
    assert select_heads(report, n=1, criterion="fisher") == {"a": (0,)}
    assert select_heads(report, n=1) == {"a": (2,)}
    # Once one of the twins is gone the other has no twin.
    assert select_heads(report, n=2) == {"a": (0, 2)}
    assert select_heads(report, n=1, exponent=0) == {"a": (0,)}


def test_diagnostics_choose_what_they_say() -> None:
    js = apart(3, 0.4)
    js[0, 1] = js[1, 0] = 0.1
    report = made([1, 2, 3], js, entropy=np.array([0.5, 2.0, 1.0]))
    assert select_heads(report, n=1, criterion="entropy") == {"a": (1,)}
    assert select_heads(report, n=1, criterion="low-entropy") == {"a": (0,)}
    assert select_heads(report, n=1, criterion="js") == {"a": (0,)}
    draws = {select_heads(report, n=1, criterion="random", seed=s)["a"] for s in range(20)}
    assert len(draws) == 3
    twice = [select_heads(report, n=2, criterion="random", seed=1) for _ in range(2)]
    assert twice[0] == twice[1]


def test_every_layer_keeps_as_many_heads_as_asked() -> None:
    report = made([1, 2, 3, 40, 50, 60], apart(6), layers=("a",) * 3 + ("b",) * 3)
    assert select_heads(report, n=3, criterion="fisher") == {"a": (0, 1), "b": (0,)}
    assert select_heads(report, n=3, criterion="fisher", least=0) == {"a": (0, 1, 2)}
    assert select_heads(report, share=1 / 3, least=2) == {"a": (0,), "b": (0,)}
    assert select_heads(report, n=0) == {}
    with pytest.raises(SpecificationError, match="5 of 6 heads cannot go: with 1 left in each of 2 layers, 4 can"):
        select_heads(report, n=5)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.6])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_as_many_go_as_asked(criterion, share: float) -> None:
    report = head_report(small(), [images()], CrossEntropy())
    gone = select_heads(report, share=share, criterion=criterion)
    assert sum(map(len, gone.values())) == round(6 * share)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "not both or neither"),
        ({"n": 1, "share": 0.5}, "not both or neither"),
        ({"share": 1.5}, "from 0 to 1, not 1.5"),
        ({"n": -1}, "0 or more, not -1"),
        ({"n": 1, "criterion": "magnitude"}, "no criterion 'magnitude'; there are fisher-js"),
        ({"n": 1, "exponent": -1}, "must be 0 or more, not -1"),
        ({"n": 1, "exponent": math.nan}, "must be 0 or more, not nan"),
        ({"n": 1, "least": -1}, "keeps 0 heads or more, not -1"),
    ],
)
def test_requests_that_make_no_sense(arguments: dict, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        select_heads(made([1, 2], apart(2)), **arguments)


def test_heads_that_cannot_be_compared() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.long, self.short, self.out = SelfAttention(8, 2), SelfAttention(8, 2), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x + self.long(x)
            return self.out(self.short(x[:, :3]).mean(1))

    batch = Batch((torch.randn(4, 6, 8),), torch.randint(3, (4,)))
    report = head_report(Two(), [batch], CrossEntropy())
    assert np.isnan(report.divergence[:2, 2:]).all() and np.isfinite(report.divergence[:2, :2]).all()
    assert report.nearest()[0] == report.divergence[0, 1]
    assert set(report.clusters(0.69)) == {1, 2} or len(set(report.clusters(0.69))) >= 2
    text = json.dumps(report.to_dict(), allow_nan=False)
    assert json.loads(text)["js"][0][2] is None
    lonely = made([1.0], np.zeros((1, 1)))
    assert lonely.nearest()[0] == pytest.approx(LN2)
    with pytest.raises(SpecificationError, match="one head cannot be clustered"):
        lonely.clusters(0.1)
    with pytest.raises(SpecificationError, match="from 0 to ln 2"):
        report.clusters(0.8)


def test_padding_changes_nothing() -> None:
    class Texts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.out = nn.Embedding(9, 8), nn.Linear(8, 3)
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            x = self.encoder(self.embed(tokens), src_key_padding_mask=~mask)
            return self.out((x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))

    model, y = Texts(), torch.tensor([0, 2])
    tokens, mask = torch.randint(9, (2, 4)), torch.tensor([[True] * 4, [True, True, False, False]])
    expected = head_report(model, [Batch((tokens, mask), y)], CrossEntropy())
    longer = functional.pad(tokens, (0, 3), value=7)
    wider = Batch({"tokens": longer, "mask": functional.pad(mask, (0, 3))}, y)
    singly = [
        Batch((tokens[:1], mask[:1]), y[:1]),
        Batch((tokens[1:, :2], mask[1:, :2]), y[1:]),
    ]
    for batches in ([wider], singly):
        found = head_report(model, batches, CrossEntropy())
        for name in ("entropy", "divergence", "fisher"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-4, atol=1e-6)
    with pytest.raises(SpecificationError, match=r"tokens of a batch are \(2, 3\).*they have \(2, 4\)"):
        head_report(model, [Batch((tokens, mask), y, tokens=mask[:, 1:])], CrossEntropy())
    # Where the network is not told, the batch can say it.
    everything = torch.ones_like(mask)
    told = head_report(model, [Batch((tokens, everything), y, tokens=mask)], CrossEntropy())
    untold = head_report(model, [Batch((tokens, everything), y)], CrossEntropy())
    assert not np.allclose(told.entropy, untold.entropy, rtol=1e-4)


def test_what_cannot_be_measured() -> None:
    model = small()
    with pytest.raises(SpecificationError, match="no samples"):
        head_report(model, [], CrossEntropy())
    with pytest.raises(SpecificationError, match="1 draw or more, not 0"):
        head_report(model, [images()], SelfDistance(0))
    with pytest.raises(SpecificationError, match="needs the targets"):
        head_report(model, [Batch((torch.randn(2, 1, 4, 4),))], CrossEntropy())
    with pytest.raises(SpecificationError, match="no attention was seen in Linear"):
        head_report(nn.Linear(3, 3), [Batch((torch.randn(2, 3),), torch.zeros(2, dtype=torch.long))], CrossEntropy())
    with pytest.raises(SpecificationError, match="not finite"):
        head_report(model, [Batch((torch.full((2, 1, 4, 4), math.nan),), torch.tensor([0, 1]))], CrossEntropy())
    x = torch.randn(2, 1, 4, 4)
    with pytest.raises(SpecificationError, match="does not depend on the attention of layer 'blocks\\.1\\.attention'"):

        class Early(VisionTransformer):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                out = self.blocks[0](self.patches(x).flatten(2).transpose(1, 2))
                self.blocks[1](out)
                return self.head(out.mean(1))

        early = Early((1, 4, 4), 3, patch=2, width=12, depth=2, n_heads=3, hidden=16)
        head_report(early, [Batch((x,), torch.tensor([0, 1]))], CrossEntropy())


def test_removed_heads_are_masked_heads() -> None:
    model, batch = small().eval(), images(4)
    report = head_report(model, [batch], CrossEntropy())
    gone = select_heads(report, n=3)
    smaller = remove_heads(model, gone, batch.inputs)  # type: ignore[arg-type]
    with torch.no_grad(), without_heads(model, gone):
        expected = batch.run(model)
    torch.testing.assert_close(batch.run(smaller), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(expected, batch.run(model), atol=1e-3)
    assert sum(p.numel() for p in smaller.parameters()) == sum(p.numel() for p in model.parameters()) - 3 * (
        4 * 4 * 12 + 3 * 4
    )
    # It is measured like any other.
    assert len(head_report(smaller, [batch], CrossEntropy())) == 3
