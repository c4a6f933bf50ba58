"""Where the scale of a channel can move from one weight to another without changing the model.

Behind a norm, its gain multiplies the columns of the linears that read it. Between two linears, an output channel of the first is
read only by the matching columns of the second. Trained models have channels with far larger values in these places; a scale
there changes how well the weights and activations can be quantized, and nothing else.

Letters: N outputs, K inputs, C channels, H heads, G key/value heads, K head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobilevlm_export.model.mobilellama import DecoderLayer, MobileLlama, RMSNorm
from mobilevlm_export.model.mobilevlm import MobileVLM
from mobilevlm_export.model.vision_encoder import VisionLayer, VisionMLP


def weight(value: Tensor, dtype: torch.dtype = torch.float32) -> nn.Parameter:
    """``value`` as a module's new weight. Weights are replaced, never changed in place: copies of a model share them."""
    return nn.Parameter(value.to(dtype), requires_grad=False)


@dataclass(frozen=True)
class NormLink:
    """A norm and all ``linears`` that read its output, which nothing else reads."""

    norm: RMSNorm | nn.LayerNorm
    linears: tuple[nn.Linear, ...]

    @property
    def channels(self) -> int:
        """C."""
        return len(self.norm.weight)

    @torch.no_grad()
    def move(self, scale: Tensor) -> None:
        """Divide the norm's gain and bias by ``scale`` [C] and multiply the linears' columns with it."""
        self.norm.weight = weight(self.norm.weight / scale, self.norm.weight.dtype)
        if isinstance(self.norm, nn.LayerNorm):
            self.norm.bias = weight(self.norm.bias / scale, self.norm.bias.dtype)
        for linear in self.linears:
            linear.weight = weight(linear.weight * scale, linear.weight.dtype)


@dataclass(frozen=True)
class ChannelLink:
    """A linear whose output channels only ``consumer`` reads: attention's value and output, the MLP's middle.

    Channels of attention belong to heads of ``head_dim`` channels, and ``readers`` heads of the consumer read each of the
    producer's. Where QuickGELU is between the two, in ``quick_gelu``, its slope follows the scale:
    x/s · sigmoid(slope·s · x/s) = (x · sigmoid(slope · x)) / s.
    """

    producer: nn.Linear
    consumer: nn.Linear
    head_dim: int = 1
    readers: int = 1
    quick_gelu: VisionMLP | None = None

    @property
    def channels(self) -> int:
        """C."""
        return self.producer.out_features

    @torch.no_grad()
    def move(self, scale: Tensor) -> None:
        """Divide the producer's output channels by ``scale`` [C] and multiply the consumer's columns with it."""
        dtype = self.producer.weight.dtype
        self.producer.weight = weight(self.producer.weight / scale[:, None], dtype)
        if self.producer.bias is not None:
            self.producer.bias = weight(self.producer.bias / scale, dtype)
        if self.quick_gelu is not None:
            self.quick_gelu.slope = self.quick_gelu.slope * scale
        self.consumer.weight = weight(self.consumer.weight * self.spread(scale), dtype)

    def spread(self, channels: Tensor) -> Tensor:
        """``channels`` [C] of the producer, repeated for each column of the consumer."""
        heads = channels.view(-1, 1, self.head_dim)
        return heads.expand(-1, self.readers, -1).reshape(-1)


@dataclass(frozen=True)
class LayerLinks:
    """All links inside one layer."""

    norms: tuple[NormLink, NormLink]
    value: ChannelLink
    middle: ChannelLink


def layer_links(layer: DecoderLayer | VisionLayer) -> LayerLinks:
    """The links of ``layer``."""
    attention = layer.self_attn
    readers = (attention.q_proj, attention.k_proj, attention.v_proj)
    if isinstance(layer, VisionLayer):
        return LayerLinks(
            (NormLink(layer.layer_norm1, readers), NormLink(layer.layer_norm2, (layer.mlp.fc1,))),
            ChannelLink(attention.v_proj, layer.self_attn.out_proj, attention.head_dim),
            ChannelLink(layer.mlp.fc1, layer.mlp.fc2, quick_gelu=layer.mlp),
        )
    return LayerLinks(
        (
            NormLink(layer.input_layernorm, readers),
            NormLink(layer.post_attention_layernorm, (layer.mlp.gate_proj, layer.mlp.up_proj)),
        ),
        ChannelLink(
            attention.v_proj,
            layer.self_attn.o_proj,
            attention.head_dim,
            layer.self_attn.num_heads // layer.self_attn.num_kv_heads,
        ),
        ChannelLink(layer.mlp.up_proj, layer.mlp.down_proj),
    )


def head_link(decoder: MobileLlama) -> NormLink:
    """The final norm of ``decoder`` and ``lm_head``."""
    return NormLink(decoder.norm, (decoder.lm_head,))


def linked_layers(model: MobileVLM) -> Iterator[DecoderLayer | VisionLayer]:
    """All layers of the tower and of the text decoder."""
    for layer in (*model.vision_encoder.tower.layers, *model.text_decoder.layers):
        assert isinstance(layer, DecoderLayer | VisionLayer)
        yield layer
