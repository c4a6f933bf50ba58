"""tokenizer.json gives SentencePiece's ids, even for random text."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from tokenizers import Tokenizer as JsonTokenizer

from mobilevlm_export.errors import CheckpointError, ConfigError
from mobilevlm_export.tokenizer import (
    AWKWARD_TEXTS,
    Tokenizer,
    check_equal_ids,
    checkpoint_tokenizer,
    make_tokenizer_json,
)


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


@pytest.mark.parametrize("legacy", [True, False])
def test_the_written_files_agree(tiny_tokenizer_model: Path, tmp_path: Path, legacy: bool) -> None:
    """The bundle's files agree: the leading space comes either from the tokenizer or from the text."""
    tokenizer = Tokenizer(tiny_tokenizer_model, legacy=legacy)
    tokenizer.write_plain(tmp_path / "tokenizer.model")
    make_tokenizer_json(tmp_path / "tokenizer.model", tmp_path / "tokenizer.json")
    plain, made = Tokenizer(tmp_path / "tokenizer.model"), JsonTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    check_equal_ids(plain, made, AWKWARD_TEXTS)
    for text in filter(None, AWKWARD_TEXTS):
        assert tokenizer.encode(text) == Tokenizer(tiny_tokenizer_model).encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == Tokenizer(tiny_tokenizer_model).decode(
            tokenizer.encode(text)
        )
        assert plain.encode(text if legacy else f" {text}") == tokenizer.encode(text)
        assert plain.encode(text) == tokenizer.encode_after_end(text)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"legacy": "no"}, "legacy: got 'no', expected true or false"),
        ({"add_bos_token": False}, "add_bos_token: got False, expected True"),
        ({"add_eos_token": True}, "add_eos_token: got True, expected False"),
        ({"bos_token": "<|begin|>"}, "bos_token: got '<|begin|>', expected '<s>'"),
        ({"eos_token": {"content": "<|end|>", "lstrip": False}}, "eos_token: got {'content': '<|end|>'"),
    ],
)
def test_a_configuration_of_other_ids_is_refused(
    tiny_tokenizer_model: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    shutil.copyfile(tiny_tokenizer_model, tmp_path / "tokenizer.model")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError) as caught:
        checkpoint_tokenizer(tmp_path)
    assert f"tokenizer_config.json: {message}" in str(caught.value)
