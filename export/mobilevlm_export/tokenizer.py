"""The checkpoint's SentencePiece tokenizer, and its conversion to a ``tokenizer.json`` with ids checked to be equal.

LLaMA's tokenizer is SentencePiece BPE with byte fallback. SentencePiece itself is the reference and reads all text as plain
text: ``</s>`` in a user's question is four characters, never the end of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2 as pb
from tokenizers import AddedToken, models, normalizers
from tokenizers import Tokenizer as JsonTokenizer

from mobilevlm_export.config_keys import TOKENIZER
from mobilevlm_export.errors import CheckpointError, ConfigError
from mobilevlm_export.files.wrong_file import not_the_file
from mobilevlm_export.published_config import read_json_object

_SPACE = "\u2581"
# What tokenizers commonly get wrong: unusual spaces, scripts without spaces, characters split into bytes, control characters.
AWKWARD_TEXTS = (
    "", " ", "  ", "a", " a", "a ", "  a  b   c  ", "\n", "\n\n", "\nWhat is this?", "\t tab\ttab", "a\r\nb", "\x00", "\x07bell",
    "A chat between a curious user and an artificial intelligence assistant.", "USER: ", "ASSISTANT:", " ASSISTANT: yes",
    "don't", "it's 12:30", "3.14159", "1,000,000", "0123456789", "C++ & C#", "a_b-c/d\\e", "<image>", "image", "https://a.b/c?d=e&f=g",
    "你好，世界", "这是什么？", "図の中に何がありますか", "한국어 질문", "Привет, мир", "مرحبا", "שלום", "नमस्ते", "ไทย", "Ελληνικά",
    "é", "e\u0301", "ﬁ", "Ⅳ", "ß", "İi", "½", "²", "º", "\u00a0nbsp\u00a0", "\u200bzero", "\u3000wide", "\ufeffbom", "\u2028line",
    "😀", "👍🏽", "👨‍👩‍👧‍👦", "🇨🇳", "a😀b", "𝔘𝔫𝔦", "\U0010ffff", "\ufffd", _SPACE, f"a{_SPACE}b", f"{_SPACE}{_SPACE}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "    indented", "trailing    ", "..........", "!?!?!?", "--", "\"quoted\"", "'single'", "(a) [b] {c}",
    "CamelCaseWord", "ALLCAPS", "mixedCASE123", "x" * 100, "ab" * 60, "hello " * 20, "\n \n \n", " \n", "\n ",
)  # fmt: skip


class Tokenizer:
    """SentencePiece ids of text, without BOS or EOS, as the reference computes them."""

    def __init__(self, path: Path, *, legacy: bool = True) -> None:
        """Load ``path`` (``tokenizer.model``); ``legacy`` comes from ``tokenizer_config.json`` (:func:`checkpoint_tokenizer`).

        Raises:
            CheckpointError: the file is missing or not a SentencePiece model.
        """
        if not path.is_file():
            raise CheckpointError(f"{path}: no such file, expected the checkpoint's SentencePiece model")
        self.path, self.legacy = path, legacy
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=self._plain_model())
        except (RuntimeError, OSError, ValueError, DecodeError):  # ValueError: the error's own message isn't UTF-8
            got = not_the_file(path) or f"{path.stat().st_size} bytes"
            raise CheckpointError(f"{path}: got {got}, expected a SentencePiece model") from None
        self.bos_id: int = self._processor.bos_id()
        self.eos_id: int = self._processor.eos_id()
        self.vocab_size: int = self._processor.vocab_size()
        try:
            self._processor.decode([token for token in range(self.vocab_size) if self.piece(token)])
        except (RuntimeError, ValueError):
            raise CheckpointError(f"{path}: got pieces that are not text, expected a SentencePiece model") from None
        special = (self._processor.is_control, self._processor.is_unknown)
        self._special_ids = {token for token in range(self.vocab_size) if any(kind(token) for kind in special)}
        self.specials = frozenset(self.piece(token) for token in self._special_ids)  # pieces that are never shown

    def encode(self, text: str) -> list[int]:
        """Ids of ``text`` as one segment, with the leading dummy space."""
        return list(self._processor.encode(text if self.legacy or not text else f"{_SPACE}{text}"))

    def encode_after_end(self, text: str) -> list[int]:
        """Ids of ``text`` after ``</s>`` in the same prompt, with a leading dummy space only if ``legacy``."""
        return list(self._processor.encode(text))

    def write_plain(self, path: Path) -> None:
        """Write the model to ``path``. Unless ``legacy``, it adds no leading space by itself: prompts spell it out."""
        path.write_bytes(self._plain_model())

    def _plain_model(self) -> bytes:
        model = self.path.read_bytes()
        if self.legacy:
            return model
        proto = pb.ModelProto()
        proto.ParseFromString(model)
        proto.normalizer_spec.add_dummy_prefix = False
        return bytes(proto.SerializeToString())

    def piece(self, token_id: int) -> str:
        """The vocabulary's piece for one token, such as ``▁the`` or ``<0xE4>``; empty for an id beyond the vocabulary, which a
        model with more rows than pieces may return.
        """
        return str(self._processor.id_to_piece(token_id)) if 0 <= token_id < self.vocab_size else ""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ``ids`` without special tokens, as in the reference; bytes that are not UTF-8 become U+FFFD."""
        text = str(self._processor.decode([token for token in ids if token not in self._special_ids]))
        return (
            text if self.legacy else text.removeprefix(" ")
        )  # SentencePiece removes only a leading space that it has added itself


def checkpoint_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of the checkpoint in ``folder``: its SentencePiece model, with the settings of ``tokenizer_config.json``, if present.

    ``legacy`` is true by default, as in the transformers of the authors' code (4.33).

    Raises:
        CheckpointError: the SentencePiece model is missing or damaged.
        ConfigError: ``tokenizer_config.json`` is malformed, or has a setting that the kit doesn't support.
    """
    path = folder / "tokenizer_config.json"
    values = read_json_object(path) if path.is_file() else {}
    legacy = values.get("legacy")
    if legacy not in (None, True, False):
        raise ConfigError(f"{path}: legacy: got {legacy!r:.60}, expected true or false")
    TOKENIZER.require_fixed(values, path)
    tokenizer = Tokenizer(folder / "tokenizer.model", legacy=legacy is not False)
    for key, token in (("bos_token", tokenizer.bos_id), ("eos_token", tokenizer.eos_id)):
        got, piece = values.get(key), tokenizer.piece(token)
        if (got.get("content") if isinstance(got, dict) else got) not in (None, piece):
            raise ConfigError(f"{path}: {key}: got {got!r:.60}, expected {piece!r} as in tokenizer.model")
    return tokenizer


def make_tokenizer_json(model: Path, output: Path) -> None:
    """Write ``output`` (``tokenizer.json``), which gives the same ids as ``model`` (``tokenizer.model``).

    It has no decoder: engines then return a token's own piece with its space and bytes. A decoder that sees one token at a time
    would lose the space and break characters that span several tokens.

    Raises:
        CheckpointError: the model is not BPE with byte fallback, or the ids of a test text differ.
    """
    reference = Tokenizer(model)
    proto = pb.ModelProto()
    proto.ParseFromString(model.read_bytes())
    if proto.trainer_spec.model_type != pb.TrainerSpec.BPE or not proto.trainer_spec.byte_fallback:
        raise CheckpointError(
            f"{model}: got another kind of SentencePiece model, expected BPE with byte fallback (LLaMA's)"
        )
    try:
        made = _json_tokenizer(proto)
    except (TypeError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{model}: got pieces that don't form a BPE model ({reason:.100}), expected LLaMA's kind"
        ) from None
    check_equal_ids(reference, made, AWKWARD_TEXTS)
    made.save(str(output), pretty=False)


def check_equal_ids(reference: Tokenizer, made: JsonTokenizer, texts: Iterable[str]) -> None:
    """Raise CheckpointError for the first of ``texts`` whose ids differ."""
    for text in texts:
        expected, got = reference.encode(text), made.encode(text, add_special_tokens=False).ids
        if expected != got:
            raise CheckpointError(f"{reference.path}: tokenizer.json gives {got} for {text!r}, expected {expected}")


def _json_tokenizer(proto: pb.ModelProto) -> JsonTokenizer:
    vocabulary = {piece.piece: index for index, piece in enumerate(proto.pieces)}
    unknown = proto.trainer_spec.unk_piece
    made = JsonTokenizer(
        models.BPE(vocab=vocabulary, merges=_merges(proto), unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    spaces = [normalizers.Replace(" ", _SPACE)]
    prefix = [normalizers.Prepend(_SPACE)] if proto.normalizer_spec.add_dummy_prefix else []
    made.normalizer = normalizers.Sequence([*prefix, *spaces])
    controls = [piece.piece for piece in proto.pieces if piece.type == pb.ModelProto.SentencePiece.CONTROL]
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in (unknown, *controls)])
    return made


def _merges(proto: pb.ModelProto) -> list[tuple[str, str]]:
    """Every way to join two pieces into a third, best piece first: SentencePiece merges by the result's score."""
    kinds = pb.ModelProto.SentencePiece
    rank = {piece.piece: index for index, piece in enumerate(proto.pieces) if piece.type == kinds.NORMAL}
    scores = {piece.piece: piece.score for piece in proto.pieces}
    merges = []
    for piece in rank:
        splits = [(piece[:cut], piece[cut:]) for cut in range(1, len(piece))]
        joined = [(left, right) for left, right in splits if left in rank and right in rank]
        merges += [(-scores[piece], rank[left], rank[right], left, right) for left, right in joined]
    return [(left, right) for _, _, _, left, right in sorted(merges)]
