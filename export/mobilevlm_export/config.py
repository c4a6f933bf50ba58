"""Sizes of a MobileVLM or LLaVA-1.5 model. ``published_config`` reads them from a checkpoint's ``config.json``.

Configs are frozen and checked on creation. Sources: the papers of MobileVLM (arXiv 2312.16886), MobileVLM V2 (2402.03766,
section 3) and LLaVA-1.5 (2310.03744), the authors' ``config.json`` and transformers' ``CLIPVisionConfig``/``LlamaConfig``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mobilevlm_export.errors import ConfigError
from mobilevlm_export.projector_config import ProjectorConfig

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# The published ``model_type`` of each family, and its class in the authors' code.
ARCHITECTURES = {"mobilevlm": "MobileLlamaForCausalLM", "llava_llama": "LlavaLlamaForCausalLM"}

_LARGEST = {"num_layers": 1024, "image_size": 4096}
_LARGEST_SIZE = 1 << 24


def _require_sizes(owner: str, **sizes: int | float) -> None:
    for name, size in sizes.items():
        largest = _LARGEST.get(name, _LARGEST_SIZE)
        if not size > 0:
            raise ConfigError(f"{owner}.{name}: got {size}, expected a positive number")
        if size > largest:
            raise ConfigError(f"{owner}.{name}: got {size}, expected at most {largest}")


@dataclass(frozen=True)
class VisionConfig:
    """CLIP's vision tower. ``image_size`` and ``patch_size`` are in pixels; mean and std are for RGB in [0, 1]."""

    image_size: int = 336
    patch_size: int = 14
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_layers: int = 24
    num_heads: int = 16
    layer_norm_eps: float = 1e-5
    select_layer: int = -2
    image_mean: tuple[float, float, float] = CLIP_MEAN
    image_std: tuple[float, float, float] = CLIP_STD

    def __post_init__(self) -> None:
        _require_sizes(
            "vision",
            image_size=self.image_size,
            patch_size=self.patch_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
        )
        if self.image_size % self.patch_size:
            raise ConfigError(
                f"vision.image_size: got {self.image_size}, expected a multiple of the patch size ({self.patch_size})"
            )
        if self.hidden_size % self.num_heads:
            raise ConfigError(
                f"vision.hidden_size: got {self.hidden_size}, expected a multiple of {self.num_heads} heads"
            )
        if not 0 < self.num_run_layers <= self.num_layers:
            raise ConfigError(
                f"mm_vision_select_layer: got {self.select_layer}, expected a hidden state of "
                f"{self.num_layers} layers after at least one of them"
            )
        if min(self.image_std) <= 0:
            raise ConfigError(f"vision.image_std: got {self.image_std}, expected positive numbers")

    @property
    def grid(self) -> int:
        """The number of patches along one side of the image."""
        return self.image_size // self.patch_size

    @property
    def num_patches(self) -> int:
        """The number of patches of the image: ``grid`` squared."""
        return self.grid**2

    @property
    def num_run_layers(self) -> int:
        """The number of encoder layers up to ``hidden_states[select_layer]``; later layers are never run."""
        return self.num_layers + 1 + self.select_layer if self.select_layer < 0 else self.select_layer


@dataclass(frozen=True)
class LlamaConfig:
    """MobileLLaMA (or Vicuna). ``max_position_embeddings`` is the longest context in tokens."""

    vocab_size: int = 32000
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_layers: int = 24
    num_heads: int = 16
    num_kv_heads: int = 16
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    max_position_embeddings: int = 2048

    def __post_init__(self) -> None:
        _require_sizes(
            "llm",
            vocab_size=self.vocab_size,
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            num_kv_heads=self.num_kv_heads,
            max_position_embeddings=self.max_position_embeddings,
        )
        if not self.rope_theta > 0:
            raise ConfigError(f"llm.rope_theta: got {self.rope_theta}, expected a positive number")
        if self.hidden_size % self.num_heads:
            raise ConfigError(f"hidden_size: got {self.hidden_size}, expected a multiple of {self.num_heads} heads")
        if self.head_dim % 2:
            raise ConfigError(f"head_dim: got {self.head_dim}, expected an even number, because RoPE rotates pairs")
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"num_key_value_heads: got {self.num_kv_heads}, expected a divisor of {self.num_heads} heads"
            )

    @property
    def head_dim(self) -> int:
        """The width of one attention head."""
        return self.hidden_size // self.num_heads

    def kv_cache_bytes(self, positions: int, value_bytes: int) -> int:
        """The bytes of the keys and values of ``positions`` tokens in all layers, at ``value_bytes`` per value."""
        return 2 * value_bytes * self.num_layers * positions * self.num_kv_heads * self.head_dim


@dataclass(frozen=True)
class MobileVLMConfig:
    """A complete model: tower, projector, language model, and the ids that begin and end a text."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    llm: LlamaConfig = field(default_factory=LlamaConfig)
    bos_id: int = 1
    eos_id: int = 2
    vision_tower: str = "openai/clip-vit-large-patch14-336"
    name: str = "MobileVLM_V2"
    tie_word_embeddings: bool = False
    model_type: str = "mobilevlm"

    def __post_init__(self) -> None:
        if self.model_type not in ARCHITECTURES:
            raise ConfigError(f"model_type: got {self.model_type!r}, expected one of {', '.join(ARCHITECTURES)}")
        if self.vision.grid % self.projector.kind.pools:
            kind, side = self.projector.kind, self.projector.kind.pools * self.vision.patch_size
            raise ConfigError(
                f"vision.image_size: got {self.vision.image_size}, expected a multiple of twice the patch size "
                f"({side}), because {kind.name} pools the patch grid by two"
            )
        if self.projector.input_size != self.vision.hidden_size:
            raise ConfigError(
                f"projector.input_size: got {self.projector.input_size}, "
                f"expected the tower's width {self.vision.hidden_size}"
            )
        if self.projector.hidden_size != self.llm.hidden_size:
            raise ConfigError(
                f"projector.hidden_size: got {self.projector.hidden_size}, "
                f"expected the language model's width {self.llm.hidden_size}"
            )
        for name, token_id in (("bos_token_id", self.bos_id), ("eos_token_id", self.eos_id)):
            if not 0 <= token_id < self.llm.vocab_size:
                raise ConfigError(f"{name}: got {token_id}, expected an id below {self.llm.vocab_size}")

    @property
    def image_tokens(self) -> int:
        """The number of tokens of an image in the prompt: 576, or 144 if the projector pools the patch grid two by two."""
        return (self.vision.grid // self.projector.kind.pools) ** 2

    @property
    def pad_color(self) -> tuple[int, int, int]:
        """The RGB color, 0 to 255, that pads an image to a square: the tower's mean (122, 116, 104)."""
        red, green, blue = (int(mean * 255) for mean in self.vision.image_mean)
        return red, green, blue

    @classmethod
    def tiny(cls, projector_type: str = "ldpnetv2") -> MobileVLMConfig:
        """Sizes for tests: a model that runs in milliseconds. Widths are multiples of 32 for int4 groups."""
        return cls(
            vision=VisionConfig(
                image_size=56, patch_size=14, hidden_size=64, intermediate_size=128, num_layers=3, num_heads=2
            ),
            projector=ProjectorConfig(64, 96, projector_type),
            llm=LlamaConfig(
                vocab_size=512,
                hidden_size=96,
                intermediate_size=192,
                num_layers=2,
                num_heads=3,
                num_kv_heads=3,
                max_position_embeddings=256,
            ),
            vision_tower="tiny",
            name="tiny",
        )

    def to_json(self) -> dict[str, Any]:
        """The published ``config.json`` of this model, with the tower's sizes in ``vision_config``."""
        return {
            "_name_or_path": self.name,
            "architectures": [ARCHITECTURES[self.model_type]],
            "model_type": self.model_type,
            "bos_token_id": self.bos_id,
            "eos_token_id": self.eos_id,
            "vocab_size": self.llm.vocab_size,
            "hidden_act": "silu",
            "hidden_size": self.llm.hidden_size,
            "intermediate_size": self.llm.intermediate_size,
            "num_hidden_layers": self.llm.num_layers,
            "num_attention_heads": self.llm.num_heads,
            "num_key_value_heads": self.llm.num_kv_heads,
            "rms_norm_eps": self.llm.rms_norm_eps,
            "rope_theta": self.llm.rope_theta,
            "max_position_embeddings": self.llm.max_position_embeddings,
            "tie_word_embeddings": self.tie_word_embeddings,
            "mm_projector_type": self.projector.type,
            "mm_hidden_size": self.vision.hidden_size,
            "mm_vision_tower": self.vision_tower,
            "vision_tower_type": "clip",
            "mm_vision_select_layer": self.vision.select_layer,
            "mm_vision_select_feature": "patch",
            "image_aspect_ratio": "pad",
            "vision_config": self.vision_json(),
        }

    def vision_json(self) -> dict[str, Any]:
        """The tower's sizes under transformers' ``CLIPVisionConfig`` names, with its normalization."""
        return {
            "model_type": "clip_vision_model",
            "image_size": self.vision.image_size,
            "patch_size": self.vision.patch_size,
            "hidden_size": self.vision.hidden_size,
            "intermediate_size": self.vision.intermediate_size,
            "num_hidden_layers": self.vision.num_layers,
            "num_attention_heads": self.vision.num_heads,
            "layer_norm_eps": self.vision.layer_norm_eps,
            "hidden_act": "quick_gelu",
            "image_mean": list(self.vision.image_mean),
            "image_std": list(self.vision.image_std),
        }


_CLIP_L_336 = VisionConfig()
TOWERS = {
    "clip-vit-large-patch14-336": _CLIP_L_336,
    "clip-vit-large-patch14": VisionConfig(image_size=224),
}
_MOBILELLAMA_1_4B = LlamaConfig()
_MOBILELLAMA_2_7B = LlamaConfig(hidden_size=2560, intermediate_size=6912, num_layers=32, num_heads=32, num_kv_heads=32)
_VICUNA_7B = LlamaConfig(
    hidden_size=4096,
    intermediate_size=11008,
    num_layers=32,
    num_heads=32,
    num_kv_heads=32,
    rms_norm_eps=1e-5,
    max_position_embeddings=4096,
)
# Name, language model, projector and family of each published size.
_PRESETS = {
    "1.7b": ("MobileVLM_V2-1.7B", _MOBILELLAMA_1_4B, "ldpnetv2", "mobilevlm"),
    "3b": ("MobileVLM_V2-3B", _MOBILELLAMA_2_7B, "ldpnetv2", "mobilevlm"),
    "7b": ("MobileVLM_V2-7B", _VICUNA_7B, "ldpnetv2", "mobilevlm"),
    "v1-1.7b": ("MobileVLM-1.7B", _MOBILELLAMA_1_4B, "ldpnet", "mobilevlm"),
    "v1-3b": ("MobileVLM-3B", _MOBILELLAMA_2_7B, "ldpnet", "mobilevlm"),
    "llava-1.5-7b": ("llava-v1.5-7b", _VICUNA_7B, "mlp2x_gelu", "llava_llama"),
}
PRESETS = tuple(_PRESETS)


def preset(size: str) -> MobileVLMConfig:
    """The published sizes of MobileVLM V2 (``1.7b``, ``3b``, ``7b``), the first MobileVLM (``v1-1.7b``, ``v1-3b``) or ``llava-1.5-7b``.

    Raises:
        ConfigError: no such size.
    """
    if size not in _PRESETS:
        raise ConfigError(f"model size: got {size!r}, expected one of {', '.join(PRESETS)}")
    name, llm, projector_type, model_type = _PRESETS[size]
    projector = ProjectorConfig(_CLIP_L_336.hidden_size, llm.hidden_size, projector_type)
    return MobileVLMConfig(projector=projector, llm=llm, name=name, model_type=model_type)
