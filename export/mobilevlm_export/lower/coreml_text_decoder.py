"""``text_decoder`` as a Core ML program: the functions ``prefill`` (Q tokens) and ``decode`` (one) over one set of weights.

Inputs: ``embeds`` [1, Q, D], ``input_pos`` int32 [1] (the position of the first) and, for ``prefill``, ``length`` int32 [1]
(how many of the Q are real). Output: ``logits`` [1, 1, V] of the last real token. States: ``k_cache`` and ``v_cache``, float16
[L, G, C, K], that both functions read and write.

**Padding.** A prompt is fed in chunks of Q tokens; the last one is padded at its end. The padding is replaced by zeros first, so
that not even a NaN gets through. Padded tokens do write their keys and values, from position ``input_pos + length`` on, but no
real token ever reads them: a token at position t attends to positions up to t, each of which was written by a real token in
an earlier call, or in this call before it is read. The next call starts at ``input_pos + length`` and overwrites the padding.
The cache has room for a chunk that starts at the last position (C ≥ context + Q - 1), so the padding never reaches beyond
its end, where an update would be shifted back over real positions.

Letters: L layers, Q tokens per call, C cache positions, D width, H heads, G key/value heads, K head width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from coremltools.converters.mil.mil import Builder as mb
from coremltools.converters.mil.mil import Function, Program, types

from mobilevlm_export.config import LlamaConfig
from mobilevlm_export.lower.coreml_layers import (
    MIL_TYPES,
    NUMPY_TYPES,
    TARGET,
    Constants,
    cast,
    dtype_of,
    join_heads,
    linear,
    rms_norm,
    split_heads,
)
from mobilevlm_export.model.mobilellama import Attention, DecoderLayer, MobileLlama, rope_tables

PREFILL, DECODE = "prefill", "decode"
CACHES = ("k_cache", "v_cache")


@dataclass(frozen=True)
class DecoderShape:
    """Q tokens per ``prefill`` call, C positions of the cache, and how the cache is updated (one of ``CACHE_UPDATES``)."""

    chunk: int
    positions: int
    cache_update: str


def text_decoder_program(decoder: MobileLlama, shape: DecoderShape, dtypes: tuple[str, str]) -> Program:
    """The program with both functions, which computes the layers and the head in ``dtypes``."""
    constants = Constants()
    program = Program()
    for name, tokens in ((PREFILL, shape.chunk), (DECODE, 1)):
        program.add_function(name, _function(decoder, shape, tokens, dtypes, constants))
    program.default_function_name = PREFILL
    program.export_as_multifunction = True
    return program


def _function(
    decoder: MobileLlama, shape: DecoderShape, tokens: int, dtypes: tuple[str, str], constants: Constants
) -> Function:
    config, (dtype, head_dtype) = decoder.config, dtypes
    cache = (config.num_layers, config.num_kv_heads, shape.positions, config.head_dim)
    inputs = {"embeds": mb.placeholder((1, tokens, config.hidden_size), MIL_TYPES[dtype])}
    inputs["input_pos"] = mb.placeholder((1,), types.int32)
    if tokens > 1:
        inputs["length"] = mb.placeholder((1,), types.int32)
    # Core ML supports states in float16 only.
    inputs |= {name: mb.state_tensor_placeholder(cache, types.fp16) for name in CACHES}
    with Function(inputs, opset_version=TARGET) as function:
        given = function.inputs
        x, length = given["embeds"], given.get("length")
        if length is not None:
            x = _without_padding(x, length)
        place = _Positions(given["input_pos"], tokens, shape, config, dtype, constants)
        caches = {name: _CacheState(given[name], place) for name in CACHES}
        for index, layer in enumerate(decoder.layers):
            assert isinstance(layer, DecoderLayer)
            x = _layer(constants, x, layer, index, place, caches)
        if length is not None:
            x = _last_real(x, length, shape.cache_update)
        x = cast(rms_norm(constants, x, decoder.norm, "norm"), head_dtype)
        function.set_outputs([linear(constants, x, decoder.lm_head, "logits")])
    return function


def _without_padding(x: Any, length: Any) -> Any:
    """``x`` [1, Q, D] with zeros from token ``length`` on."""
    tokens = x.shape[1]
    real = mb.less(x=np.arange(tokens, dtype=np.int32), y=length)  # [Q]
    return mb.select(cond=mb.reshape(x=real, shape=[1, tokens, 1]), a=x, b=NUMPY_TYPES[dtype_of(x)](0))


def _last_real(x: Any, length: Any, cache_update: str) -> Any:
    """Token ``length`` - 1 of ``x`` [1, Q, D], as [1, 1, D]."""
    last = mb.sub(x=length, y=np.int32(1))
    if cache_update == "slice":
        return mb.gather(x=x, indices=last, axis=1, validate_indices=False)
    tokens = x.shape[1]
    chosen = mb.equal(x=np.arange(tokens, dtype=np.int32).reshape(1, 1, tokens), y=last)
    return mb.matmul(x=mb.cast(x=chosen, dtype=dtype_of(x)), y=x)


class _Positions:
    """The positions of a call's tokens: everything that depends only on ``input_pos``, computed once for all layers."""

    def __init__(
        self, start: Any, tokens: int, shape: DecoderShape, config: LlamaConfig, dtype: str, constants: Constants
    ) -> None:
        self.start, self.tokens, self.shape = start, tokens, shape
        slots = np.arange(shape.positions, dtype=np.int32).reshape(1, shape.positions)
        positions = mb.reshape(x=mb.add(x=start, y=np.arange(tokens, dtype=np.int32)), shape=[tokens, 1])
        visible = mb.greater_equal(x=positions, y=slots)  # [Q, C]: a token attends to positions up to its own
        self.visible = mb.reshape(x=visible, shape=[1, 1, tokens, shape.positions])
        tables = [
            constants.floats(name, table, dtype)  # [C, K]
            for name, table in zip(("rope_cos", "rope_sin"), rope_tables(config, shape.positions), strict=True)
        ]
        if shape.cache_update == "slice":
            rows = mb.reshape(x=positions, shape=[tokens])
            self.cos, self.sin = (mb.gather(x=table, indices=rows, axis=0, validate_indices=False) for table in tables)
            return
        here = mb.equal(x=positions, y=slots)  # [Q, C]: one true per row
        one_hot = mb.cast(x=here, dtype="fp16")
        self.cos, self.sin = (mb.matmul(x=cast(one_hot, dtype), y=table) for table in tables)
        self.one_hot = mb.reshape(x=one_hot, shape=[1, 1, tokens, shape.positions])
        written = mb.greater(x=mb.reduce_sum(x=one_hot, axes=[0]), y=np.float16(0))  # [C]
        self.written = mb.reshape(x=written, shape=[1, 1, shape.positions, 1])

    def rope(self, x: Any) -> Any:
        """Rotate ``x`` [1, H, Q, K] by its tokens' positions."""
        first, second = mb.split(x=x, num_splits=2, axis=-1)
        rotated = mb.concat(values=[mb.mul(x=second, y=NUMPY_TYPES[dtype_of(x)](-1)), first], axis=-1)
        return mb.add(x=mb.mul(x=x, y=self.cos), y=mb.mul(x=rotated, y=self.sin))


class _CacheState:
    """One state [L, G, C, K] during a call: each update is written back before it is read again."""

    def __init__(self, state: Any, place: _Positions) -> None:
        self.state, self.place = state, place
        self.value = mb.read_state(input=state)

    def update(self, layer: int, new: Any) -> Any:
        """Write ``new`` [1, G, Q, K] at the call's positions of ``layer``; return the whole layer [1, G, C, K]."""
        _, heads, positions, width = self.value.shape
        place, stored = self.place, cast(new, "fp16")
        if place.shape.cache_update == "slice":
            begin = mb.concat(values=[np.array([layer, 0], np.int32), place.start, np.array([0], np.int32)], axis=0)
            past = mb.add(x=place.start, y=np.int32(place.tokens))
            end = mb.concat(values=[np.array([layer + 1, heads], np.int32), past, np.array([width], np.int32)], axis=0)
        else:
            begin, end = [layer, 0, 0, 0], [layer + 1, heads, positions, width]
            old = mb.slice_by_index(x=self.value, begin=begin, end=end)
            spread = mb.matmul(x=place.one_hot, y=stored, transpose_x=True)  # [1, G, C, K]
            stored = mb.select(cond=place.written, a=spread, b=old)
        updated = mb.slice_update(x=self.value, update=stored, begin=begin, end=end)
        self.value = mb.coreml_update_state(state=self.state, value=updated)
        whole = mb.slice_by_index(x=self.value, begin=[layer, 0, 0, 0], end=[layer + 1, heads, positions, width])
        return cast(whole, dtype_of(new))


def _layer(
    constants: Constants, x: Any, layer: DecoderLayer, index: int, place: _Positions, caches: dict[str, _CacheState]
) -> Any:
    name = f"layers_{index}"
    normed = rms_norm(constants, x, layer.input_layernorm, f"{name}_input_layernorm")
    x = mb.add(x=x, y=_attention(constants, normed, layer.self_attn, index, place, caches))
    normed = rms_norm(constants, x, layer.post_attention_layernorm, f"{name}_post_attention_layernorm")
    gate = mb.silu(x=linear(constants, normed, layer.mlp.gate_proj, f"{name}_mlp_gate_proj"))
    hidden = mb.mul(x=gate, y=linear(constants, normed, layer.mlp.up_proj, f"{name}_mlp_up_proj"))
    return mb.add(x=x, y=linear(constants, hidden, layer.mlp.down_proj, f"{name}_mlp_down_proj"))


def _attention(
    constants: Constants, x: Any, attention: Attention, index: int, place: _Positions, caches: dict[str, _CacheState]
) -> Any:
    """Attend from each token of ``x`` [1, Q, D] to all positions up to its own, in the cache or in ``x``."""
    name, heads, groups = f"layers_{index}_self_attn", attention.num_heads, attention.num_kv_heads
    q = place.rope(split_heads(linear(constants, x, attention.q_proj, f"{name}_q_proj"), heads))
    k = place.rope(split_heads(linear(constants, x, attention.k_proj, f"{name}_k_proj"), groups))
    v = split_heads(linear(constants, x, attention.v_proj, f"{name}_v_proj"), groups)
    k, v = (_shared(caches[cache].update(index, new), heads) for cache, new in zip(CACHES, (k, v), strict=True))
    mixed = mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=place.visible)
    return linear(constants, join_heads(mixed), attention.o_proj, f"{name}_o_proj")


def _shared(x: Any, heads: int) -> Any:
    """Repeat each of the G key/value heads [1, G, C, K] for the heads that share it."""
    _, groups, positions, width = x.shape
    if groups == heads:
        return x
    apart = mb.tile(x=mb.expand_dims(x=x, axes=[2]), reps=[1, 1, heads // groups, 1, 1])
    return mb.reshape(x=apart, shape=[1, heads, positions, width])
