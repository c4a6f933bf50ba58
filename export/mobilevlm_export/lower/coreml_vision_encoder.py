"""``vision_encoder`` as a Core ML program: an RGB image of S × S in, image embeddings and CLIP's features out.

Letters: S side in pixels, P patches, D width, H heads, K head width.
"""

from __future__ import annotations

import math
from typing import Any

import coremltools as ct
import torch
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types

from mobilevlm_export.lower.coreml_layers import (
    TARGET,
    Constants,
    cast,
    dtype_of,
    join_heads,
    layer_norm,
    linear,
    split_heads,
)
from mobilevlm_export.lower.coreml_projectors import project
from mobilevlm_export.model.mobilevlm import VisionEncoder
from mobilevlm_export.model.vision_encoder import CLIPVisionTower, VisionLayer

FUNCTION = "main"


def vision_encoder_program(encoder: VisionEncoder, side: int, dtypes: tuple[str, str, str]) -> Program:
    """The program for images of ``side`` × ``side`` pixels; ``dtypes`` of the tower, the projector and the image embeddings.

    The input is an image, whose bytes Core ML passes as 0 … 255; they are normalized here, in float32.
    """
    tower_type, projector_type, output_type = dtypes
    constants = Constants()
    inputs = {"image": mb.placeholder((1, 3, side, side), types.fp32)}
    with Function(inputs, opset_version=TARGET) as function:
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (encoder.mean, encoder.std))
        scaled = mb.mul(x=function.inputs["image"], y=constants.floats("pixel_scale", 1 / (255 * std), "fp32"))
        images = cast(mb.add(x=scaled, y=constants.floats("pixel_shift", -mean / std, "fp32")), tower_type)
        features = _tower(constants, images, encoder.tower)
        embeddings = cast(project(constants, cast(features, projector_type), encoder.projector), output_type)
        outputs = {"image_embeddings": embeddings, "features": features}
        function.set_outputs([mb.identity(x=output, name=name) for name, output in outputs.items()])
    shape, layout = (1, 3, side, side), ct.colorlayout.RGB
    function.set_input_types((ct.ImageType(name="image", shape=shape, color_layout=layout, channel_first=True),))
    program = Program()
    program.add_function(FUNCTION, function)
    return program


def _tower(constants: Constants, images: Any, tower: CLIPVisionTower) -> Any:
    """CLIP's features [1, P, D] of normalized ``images`` [1, 3, S, S]."""
    dtype, embeddings = dtype_of(images), tower.embeddings
    patch = embeddings.patch_embedding
    weight = constants.floats("patch_embedding_weight", patch.weight, dtype)
    patches = mb.conv(x=images, weight=weight, strides=list(patch.stride), pad_type="valid")  # [1, D, √P, √P]
    width, count = patches.shape[1], math.prod(patches.shape[2:])
    patches = mb.transpose(x=mb.reshape(x=patches, shape=[1, width, count]), perm=[0, 2, 1])
    class_token = constants.floats("class_embedding", embeddings.class_embedding.view(1, 1, -1), dtype)
    positions = constants.floats("position_embedding", embeddings.position_embedding[None], dtype)
    x = mb.add(x=mb.concat(values=[class_token, patches], axis=1), y=positions)  # [1, 1 + P, D]
    x = layer_norm(constants, x, tower.pre_layrnorm, "pre_layrnorm")
    for index, layer in enumerate(tower.layers):
        assert isinstance(layer, VisionLayer)
        x = _layer(constants, x, layer, f"layers_{index}")
    return mb.slice_by_index(x=x, begin=[0, 1, 0], end=[1, 1 + count, width])


def _layer(constants: Constants, x: Any, layer: VisionLayer, name: str) -> Any:
    attention, heads = layer.self_attn, layer.self_attn.num_heads
    normed = layer_norm(constants, x, layer.layer_norm1, f"{name}_layer_norm1")
    q, k, v = (
        split_heads(linear(constants, normed, module, f"{name}_self_attn_{projection}"), heads)
        for projection, module in (
            ("q_proj", attention.q_proj),
            ("k_proj", attention.k_proj),
            ("v_proj", attention.v_proj),
        )
    )
    mixed = join_heads(mb.scaled_dot_product_attention(query=q, key=k, value=v))
    x = mb.add(x=x, y=linear(constants, mixed, attention.out_proj, f"{name}_self_attn_out_proj"))
    normed = layer_norm(constants, x, layer.layer_norm2, f"{name}_layer_norm2")
    hidden = linear(constants, normed, layer.mlp.fc1, f"{name}_mlp_fc1")
    slope = constants.floats(f"{name}_mlp_slope", torch.as_tensor(layer.mlp.slope).view(-1), dtype_of(hidden))
    hidden = mb.mul(x=hidden, y=mb.sigmoid(x=mb.mul(x=hidden, y=slope)))  # QuickGELU
    return mb.add(x=x, y=linear(constants, hidden, layer.mlp.fc2, f"{name}_mlp_fc2"))
