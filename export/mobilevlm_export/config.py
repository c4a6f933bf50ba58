"""Sizes of a MobileVLM V2 model. ``published_config`` reads them from a checkpoint's ``config.json``.

Configs are frozen and checked on creation. Sources: the MobileVLM V2 paper (arXiv
2402.03766, section 3), the authors' ``config.json`` and transformers' ``CLIPVisionConfig``/``LlamaConfig``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mobilevlm_export.errors import ConfigError

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
PROJECTOR_TYPE = "ldpnetv2"


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
        if self.image_size % (2 * self.patch_size):
            raise ConfigError(
                f"vision.image_size: got {self.image_size}, expected a multiple of twice the patch size "
                f"({2 * self.patch_size}), because LDPv2 pools the patch grid by two"
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
class ProjectorConfig:
    """LDPv2: ``input_size`` is the tower's width, ``hidden_size`` the language model's."""

    input_size: int = 1024
    hidden_size: int = 2048

    def __post_init__(self) -> None:
        _require_sizes("projector", input_size=self.input_size, hidden_size=self.hidden_size)


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
    """A complete MobileVLM V2: tower, LDPv2, language model, and the ids that begin and end a text."""

    vision: VisionConfig = field(default_factory=VisionConfig)
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    llm: LlamaConfig = field(default_factory=LlamaConfig)
    bos_id: int = 1
    eos_id: int = 2
    vision_tower: str = "openai/clip-vit-large-patch14-336"
    name: str = "MobileVLM_V2"
    tie_word_embeddings: bool = False

    def __post_init__(self) -> None:
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
        """The number of tokens of an image in the prompt: LDPv2 pools the patch grid two by two (576 → 144)."""
        return (self.vision.grid // 2) ** 2

    @property
    def pad_color(self) -> tuple[int, int, int]:
        """The RGB color, 0 to 255, that pads an image to a square: the tower's mean (122, 116, 104)."""
        red, green, blue = (int(mean * 255) for mean in self.vision.image_mean)
        return red, green, blue

    @classmethod
    def tiny(cls) -> MobileVLMConfig:
        """Sizes for tests: a model that runs in milliseconds. Widths are multiples of 32 for int4 groups."""
        return cls(
            vision=VisionConfig(
                image_size=56, patch_size=14, hidden_size=64, intermediate_size=128, num_layers=3, num_heads=2
            ),
            projector=ProjectorConfig(input_size=64, hidden_size=96),
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
            "architectures": ["MobileLlamaForCausalLM"],
            "model_type": "mobilevlm",
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
            "mm_projector_type": PROJECTOR_TYPE,
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
_PRESETS = {
    "1.7b": LlamaConfig(),
    "3b": LlamaConfig(hidden_size=2560, intermediate_size=6912, num_layers=32, num_heads=32, num_kv_heads=32),
    "7b": LlamaConfig(
        hidden_size=4096,
        intermediate_size=11008,
        num_layers=32,
        num_heads=32,
        num_kv_heads=32,
        rms_norm_eps=1e-5,
        max_position_embeddings=4096,
    ),
}
PRESETS = tuple(_PRESETS)


def preset(size: str) -> MobileVLMConfig:
    """The published sizes of MobileVLM V2 ``1.7b``, ``3b`` or ``7b`` (the paper's table 1).

    Raises:
        ConfigError: no such size.
    """
    if size not in _PRESETS:
        raise ConfigError(f"model size: got {size!r}, expected one of {', '.join(PRESETS)}")
    llm = _PRESETS[size]
    projector = ProjectorConfig(_CLIP_L_336.hidden_size, llm.hidden_size)
    return MobileVLMConfig(projector=projector, llm=llm, name=f"MobileVLM_V2-{size.upper()}")
