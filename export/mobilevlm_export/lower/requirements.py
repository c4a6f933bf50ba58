"""Checks of both backends: the model is quantized as in the recipe and supports the context, and the program has the expected size."""

from __future__ import annotations

from torch import nn

from mobilevlm_export.dependencies.torchao_private import is_quantized
from mobilevlm_export.errors import LoweringError
from mobilevlm_export.job import default_context
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.quantize.apply import model_parts, quantizable
from mobilevlm_export.quantize.recipe import Recipe
from mobilevlm_export.quantize.report import shipped_bytes


def require_context(model: MobileVLM, max_context: int | None) -> int:
    """The context in tokens: ``max_context``, by default :func:`mobilevlm_export.job.default_context`.

    Raises:
        LoweringError: the context is too short for an image, or longer than the model supports.
    """
    longest = model.config.llm.max_position_embeddings
    context = default_context(model.config) if max_context is None else max_context
    if not model.config.image_tokens < context <= longest:
        raise LoweringError(
            f"max_context: got {context}, expected more than the {model.config.image_tokens} tokens of an image and "
            f"at most the model's {longest}"
        )
    return context


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
