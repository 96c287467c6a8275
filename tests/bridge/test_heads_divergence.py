"""Entropy and Jensen-Shannon divergence: by hand, within their bounds, and as a metric."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from neuroprune.bridge.heads import entropy, jensen_shannon, pairwise_jensen_shannon
from neuroprune.core.errors import SpecificationError

LN2 = math.log(2)


def test_entropy_by_hand() -> None:
    p = torch.tensor([[0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], [0.5, 0.25, 0.25, 0.0]])
    torch.testing.assert_close(entropy(p), torch.tensor([math.log(4), 0.0, LN2, 1.5 * LN2]))


def test_divergence_by_hand() -> None:
    p = torch.tensor([0.5, 0.5, 0.0, 0.0])
    assert jensen_shannon(p, p) == 0
    assert float(jensen_shannon(p, p.flip(0))) == pytest.approx(LN2)
    # The mean is (3/4, 1/4): its entropy less half of ln 2.
    middle = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert float(jensen_shannon(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))) == pytest.approx(middle - LN2 / 2)


# Of nine digits: the oracle has infinite divergences where half of a probability is no number any more.
distributions = st.lists(
    st.lists(st.floats(0, 1).map(lambda v: round(v, 9)), min_size=4, max_size=4).filter(lambda v: sum(v) > 1e-3),
    min_size=3,
    max_size=3,
).map(lambda rows: torch.tensor([[v / sum(row) for v in row] for row in rows], dtype=torch.float64))


@given(distributions)
def test_bounds_symmetry_and_triangle(p: torch.Tensor) -> None:
    assert ((entropy(p) >= 0) & (entropy(p) <= math.log(4) + 1e-12)).all()
    js = jensen_shannon(p[:, None], p)
    assert ((js >= 0) & (js <= LN2 + 1e-12)).all()
    torch.testing.assert_close(js, js.T, rtol=0, atol=1e-15)
    d = js.sqrt()
    assert d[0, 2] <= d[0, 1] + d[1, 2] + 1e-7
    # The distance of scipy is the square root, in nats.
    np.testing.assert_allclose(d[0, 1], jensenshannon(p[0], p[1]), atol=1e-7)


def test_all_pairs_in_blocks_are_the_pairs_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    p = torch.softmax(3 * torch.randn(5, 7, 6, generator=torch.Generator().manual_seed(0)), -1)
    p[1] = p[3]
    expected = jensen_shannon(p[:, None], p).double().sum(-1)
    whole = pairwise_jensen_shannon(p)
    torch.testing.assert_close(whole, expected, rtol=1e-5, atol=1e-6)
    assert whole[1, 3] == 0 and (whole.diagonal() == 0).all() and torch.equal(whole, whole.T)
    monkeypatch.setattr("neuroprune.bridge.heads.divergence._BLOCK", 2 * 5 * 6)
    torch.testing.assert_close(pairwise_jensen_shannon(p), whole, rtol=1e-12, atol=1e-12)
    assert (pairwise_jensen_shannon(p[:, :0]) == 0).all()


def test_mean_over_queries_is_a_metric_too() -> None:
    p = torch.softmax(4 * torch.randn(8, 20, 5, generator=torch.Generator().manual_seed(1)).double(), -1)
    d = (pairwise_jensen_shannon(p) / 20).sqrt()
    assert (d[:, None, :] <= d[:, :, None] + d[None] + 1e-12).all()


def test_other_shapes_are_refused() -> None:
    with pytest.raises(SpecificationError, match=r"\(heads, rows, keys\), not \(3, 4\)"):
        pairwise_jensen_shannon(torch.ones(3, 4))
