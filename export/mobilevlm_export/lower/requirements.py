"""What the backends require: of an export's settings, before any long work; of the quantized model; and of a program's size."""

from __future__ import annotations

from torch import nn

from mobilevlm_export.config import MobileVLMConfig
from mobilevlm_export.dependencies.torchao_private import is_quantized
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.job import CACHE_UPDATES, ExportJob, default_context
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.quantize.apply import model_parts, quantizable
from mobilevlm_export.quantize.recipe import Recipe
from mobilevlm_export.quantize.report import shipped_bytes

STATE_ALIGNMENT = 32  # the Neural Engine requires states of a multiple of this width
COREAI_POSITIONS_BELOW = (
    2048  # a state of this many is reported to give wrong answers on iPhones: apple/coreai-models #124
)


def require_settings(config: MobileVLMConfig, job: ExportJob) -> None:
    """Check that the backends of ``job`` can export a model of these sizes as it says.

    Raises:
        LoweringError: a length or an option is out of range.
    """
    context = require_context(config, job.max_context)
    if "coreml" in job.backends:
        require_cache_update(config, job.coreml_cache_update)
    if "coreai" in job.backends:
        coreai_positions(context)


def require_context(config: MobileVLMConfig, max_context: int | None) -> int:
    """The context in tokens: ``max_context``, by default :func:`mobilevlm_export.job.default_context`.

    Raises:
        LoweringError: the context is too short for an image, or longer than the model supports.
    """
    longest = config.llm.max_position_embeddings
    context = default_context(config) if max_context is None else max_context
    if not config.image_tokens < context <= longest:
        raise LoweringError(
            f"max_context: got {context}, expected more than the {config.image_tokens} tokens of an image and "
            f"at most the model's {longest}"
        )
    return context


def require_cache_update(config: MobileVLMConfig, cache_update: str) -> None:
    """Raise LoweringError unless Core ML's KV cache can be written by ``cache_update``."""
    if cache_update not in CACHE_UPDATES:
        raise LoweringError(f"cache_update: got {cache_update!r}, expected {' or '.join(CACHE_UPDATES)}")
    width = config.llm.head_dim
    if cache_update == "one-hot" and width % STATE_ALIGNMENT:
        raise LoweringError(
            f"cache_update: got one-hot, for the Neural Engine, with heads {width} wide, expected a multiple of "
            f"{STATE_ALIGNMENT}, which its states require: use slice"
        )


def coreai_positions(context: int) -> int:
    """The positions of Core AI's states for ``context`` tokens.

    Raises:
        LoweringError: the context is too long.
    """
    positions = -(-(context + 1) // STATE_ALIGNMENT) * STATE_ALIGNMENT
    if positions >= COREAI_POSITIONS_BELOW:
        raise LoweringError(
            f"max_context: got {context}, expected at most {COREAI_POSITIONS_BELOW - STATE_ALIGNMENT - 1} with Core AI, whose "
            f"states of {COREAI_POSITIONS_BELOW} positions are reported to give wrong answers on iPhones"
        )
    return positions


def require_one_type(model: MobileVLM, recipe: Recipe) -> None:
    """Raise LoweringError if a part mixes types: with Core ML, its float32 weights would become float16, like the quantized ones."""
    for knob, part in model_parts(model).items():
        scheme = getattr(recipe, knob)
        for path, _ in quantizable(part) if knob != "embedding" else ():
            own = recipe.scheme(knob, path)
            if (own == "fp32") != (scheme == "fp32"):
                raise LoweringError(
                    f"{knob}.{path}: got {own} in a part that is {scheme}, expected fp32 for all of the part or for none, "
                    "because with Core ML each part computes in one type"
                )


def require_recipe(model: MobileVLM, recipe: Recipe) -> None:
    """Raise LoweringError, naming the first weight of ``model`` that isn't quantized as in ``recipe``."""
    for knob, part in model_parts(model).items():
        for path, module in quantizable(part):
            wants = recipe.scheme(knob, path) != "fp32"
            if is_quantized(module.weight) != wants:
                raise LoweringError(
                    f"{knob}.{path}: got a weight that is {'not ' if wants else ''}quantized, "
                    f"expected the recipe's {recipe.scheme(knob, path)}"
                )


def size_limit(part: nn.Module) -> int:
    """The most bytes that the program of ``part`` may take: its weights as shipped, plus a tenth for graphs and padding."""
    return int(1.1 * sum(shipped_bytes(parameter) for parameter in part.parameters())) + 1_000_000
