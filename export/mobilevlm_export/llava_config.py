"""Which models are LLaVA-1.5: its two layouts of ``config.json``, its conversation, and what is refused by name.

Sources: LLaVA's ``llava_llama.py`` and ``run_llava.py``, which chooses the conversation by the model's name, and transformers'
``LlavaConfig`` and its conversion script.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobilevlm_export.config import ARCHITECTURES, MobileVLMConfig
from mobilevlm_export.config_keys import LLAVA_HF
from mobilevlm_export.errors import ConfigError
from mobilevlm_export.files.strict_json import JsonError, read_json

_LLAVA = "llava_llama"
_LLAVA_NAMES = ("llava", _LLAVA)  # in older and newer versions of the authors' code
_LLAVA_CLASSES = ("LlavaLlamaForCausalLM", "LlavaForConditionalGeneration")
_OTHERS = {
    "llava_next": "LLaVA-NeXT, which splits an image into several (anyres)",
    "llava_onevision": "LLaVA-OneVision, which splits an image into several (anyres) and has a SigLIP tower",
    "vipllava": "ViP-LLaVA, which reads features of several layers",
    "llava_mistral": "LLaVA on Mistral, whose conversation is another",
    "llava_mpt": "LLaVA on MPT, whose conversation is another",
    "llava_qwen": "LLaVA on Qwen, whose conversation is another",
}
_ANSWER = "ASSISTANT:"  # in the conversation v1
# transformers omits values equal to its LLaMA's defaults.
_LLAMA_DEFAULTS = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}


def model_type_of(published: Mapping[str, Any], path: Path) -> str:
    """The family of the configuration in ``path``: ``mobilevlm`` or ``llava_llama``.

    Raises:
        ConfigError: it is another model; a known one is named.
    """
    got = published.get("model_type", "mobilevlm")
    if got not in (*ARCHITECTURES, *_LLAVA_NAMES):
        known = f" ({_OTHERS[got]})" if isinstance(got, str) and got in _OTHERS else ""
        raise ConfigError(
            f"{path}: model_type: got {got!r:.60}{known}, expected 'mobilevlm', 'llava' or {_LLAVA!r}: MobileVLM, MobileVLM V2 or "
            "LLaVA-1.5 as published by their authors, or fine-tuned from them"
        )
    if got not in _LLAVA_NAMES:
        return str(got)
    classes = published.get("architectures") or _LLAVA_CLASSES
    if not isinstance(classes, (list, tuple)) or not set(map(str, classes)) <= set(_LLAVA_CLASSES):
        raise ConfigError(f"{path}: architectures: got {classes!r:.60}, expected {' or '.join(_LLAVA_CLASSES)}")
    return _LLAVA


def plain_layout(published: dict[str, Any], path: Path) -> dict[str, Any]:
    """``published`` with the authors' keys: unchanged, or translated from transformers' layout of LLaVA in ``path``.

    Raises:
        ConfigError: a value of transformers' layout is missing, malformed or describes another model.
    """
    text, vision = published.get("text_config"), published.get("vision_config")
    if published.get("model_type") != "llava" or text is None:
        return published
    LLAVA_HF.require_fixed(published, path)
    LLAVA_HF.require_known(published, path)
    for key, value in (("text_config", text), ("vision_config", vision)):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{path}: {key}: got {value!r:.60}, expected an object")
    assert isinstance(text, Mapping)
    if (got := text.get("model_type", "llama")) != "llama":
        raise ConfigError(f"{path}: text_config.model_type: got {got!r:.60}, expected 'llama' (LLaVA-1.5)")
    kept = {key: value for key, value in text.items() if key not in ("model_type", "architectures", "_name_or_path")}
    tied = {"tie_word_embeddings": published["tie_word_embeddings"]} if "tie_word_embeddings" in published else {}
    return {
        **_LLAMA_DEFAULTS,
        **tied,
        **kept,
        "_name_or_path": published.get("_name_or_path"),
        "architectures": published.get("architectures"),
        "model_type": "llava",
        "mm_projector_type": "mlp2x_gelu",
        "mm_vision_select_layer": published.get("vision_feature_layer", -2),
        "mm_vision_select_feature": "patch",
        "image_aspect_ratio": "pad",
        "vision_config": vision,
    }


def require_v1_conversation(folder: Path, config: MobileVLMConfig) -> None:
    """Raise ConfigError if the checkpoint in ``folder`` asks in another conversation than ``v1``: by its name, as the authors
    decide it, or by its chat template.
    """
    if config.model_type != _LLAVA:
        return
    name = config.name.rstrip("/").rsplit("/", 1)[-1]
    if "llama-2" in name.lower():
        raise ConfigError(
            f"{folder}: got {name!r:.60}, which is asked in LLaMA 2's conversation, expected v1's (LLaVA-1.5)"
        )
    for path, template in _chat_templates(folder):
        if _ANSWER not in template:
            raise ConfigError(f"{path}: chat_template: got {template!r:.60}, expected v1's conversation (LLaVA-1.5)")


def _chat_templates(folder: Path) -> list[tuple[Path, str]]:
    found = []
    plain = folder / "chat_template.jinja"
    if plain.is_file():
        found.append((plain, plain.read_text(encoding="utf-8", errors="replace")))
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        path = folder / name
        try:
            values = read_json(path)
        except (OSError, JsonError):
            continue
        template = values.get("chat_template") if isinstance(values, dict) else None
        if isinstance(template, str):
            found.append((path, template))
    return found
