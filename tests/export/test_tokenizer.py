"""tokenizer.json gives SentencePiece's ids, for random text too."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer as JsonTokenizer

from mobilevlm_export.errors import CheckpointError
from mobilevlm_export.tokenizer import AWKWARD_TEXTS, Tokenizer, check_equal_ids, make_tokenizer_json


def test_ids_are_sentencepieces(tiny_tokenizer_model: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tiny_tokenizer_model))
    for text in AWKWARD_TEXTS:
        assert tokenizer.encode(text) == reference.encode(text)
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
    assert tokenizer.decode(tokenizer.encode("a red circle 你好")) == "a red circle 你好"


def test_every_token_of_the_vocabulary_has_its_piece(tiny_tokenizer_model: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    pieces = [tokenizer.piece(token) for token in range(tokenizer.vocab_size)]
    assert pieces[:4] == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert len({*pieces}) == tokenizer.vocab_size
    assert tokenizer.piece(tokenizer.vocab_size) == tokenizer.piece(-1) == ""  # models may have more rows than pieces


def test_special_tokens_are_never_shown(tiny_tokenizer_model: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    assert tokenizer.specials == {"<unk>", "<s>", "</s>"}
    words = tokenizer.encode("a red circle")
    assert tokenizer.decode([1, *words[:2], 1, 0, *words[2:], 2]) == "a red circle"


def test_a_users_end_of_text_is_plain_text(tiny_tokenizer_model: Path) -> None:
    tokenizer = Tokenizer(tiny_tokenizer_model)
    for text in ("</s>", "<s>", "<unk>", "stop</s> now"):
        assert not {tokenizer.bos_id, tokenizer.eos_id} & set(tokenizer.encode(text))


def test_tokenizer_json_gives_equal_ids(tiny_tokenizer_model: Path, tmp_path: Path) -> None:
    made = tmp_path / "tokenizer.json"
    make_tokenizer_json(tiny_tokenizer_model, made)
    loaded, reference = JsonTokenizer.from_file(str(made)), Tokenizer(tiny_tokenizer_model)
    letters = random.Random(0)
    alphabet = "abcdefgh .,?'\n\t0123éß你好😀\u2581 the assistant user circle"
    texts = ["".join(letters.choices(alphabet, k=letters.randint(0, 40))) for _ in range(2000)]
    check_equal_ids(reference, loaded, texts)


def test_a_wrong_merge_is_caught(tiny_tokenizer_model: Path, tmp_path: Path) -> None:
    made = tmp_path / "tokenizer.json"
    make_tokenizer_json(tiny_tokenizer_model, made)
    loaded = JsonTokenizer.from_file(str(made))
    loaded.normalizer = None
    with pytest.raises(CheckpointError, match=r"tokenizer\.json gives .* expected"):
        check_equal_ids(Tokenizer(tiny_tokenizer_model), loaded, AWKWARD_TEXTS)


def test_bad_files_are_named(tmp_path: Path) -> None:
    missing, garbage = tmp_path / "tokenizer.model", tmp_path / "garbage.model"
    with pytest.raises(CheckpointError, match="no such file"):
        Tokenizer(missing)
    garbage.write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match="got 11 bytes, expected a SentencePiece model"):
        Tokenizer(garbage)
