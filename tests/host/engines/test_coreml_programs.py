"""The saved Core ML programs compute what the model does: evaluated in torch, chunk by chunk, against the eager model."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY, random_model
from torch import Tensor, nn

from mobilevlm_export.dependencies.torchao_private import is_quantized
from mobilevlm_export.model import MobileVLM
from mobilevlm_export.quantize.apply import quantize
from mobilevlm_export.quantize.recipe import RECIPES, Recipe, make_recipe
from mobilevlm_host.mil import Program

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # coremltools' own, while it is imported
    from mobilevlm_export.lower.coreml import TEXT_DECODER, TOKEN_EMBEDDING, VISION_ENCODER, lower_coreml
    from mobilevlm_export.lower.token_table import read_token_table

CHUNK, CONTEXT = 8, 60
# Sums of half precision over tiny widths, where logits are about 10; a float32 decoder still keeps its cache in float16.
HALF, SINGLE, HALF_CACHE = 3e-2, 1e-3, 1e-2


@dataclass(frozen=True)
class Lowered:
    """A saved model and the eager model with the same weights, dequantized to float32."""

    folder: Path
    reference: MobileVLM
    vision_tolerance: float
    text_tolerance: float

    def text_decoder(self) -> TextDecoder:
        return TextDecoder(self.folder / TEXT_DECODER)


class TextDecoder:
    """Feeds the two functions as the app does: full chunks, a padded one, single tokens; one state through all."""

    def __init__(self, package: Path, padding: float = float("nan")) -> None:
        program = Program.open(package)
        self.prefill, self.decode = program.function("prefill"), program.function("decode")
        self.state, self.padding, self.position = program.make_state(), padding, 0

    def feed(self, embeds: Tensor) -> Tensor:
        """Logits [V] after ``embeds`` [1, T, D], T at most a chunk."""
        tokens = embeds.shape[1]
        embeds = embeds.to(self.prefill.signature.inputs["embeds"].dtype.carrier)
        inputs = {"input_pos": torch.tensor([self.position], dtype=torch.int32)}
        if tokens == 1:
            outputs = self.decode.run(inputs | {"embeds": embeds}, self.state)
        else:
            padding = embeds.new_full((1, CHUNK - tokens, embeds.shape[2]), self.padding)
            inputs |= {
                "embeds": torch.cat([embeds, padding], dim=1),
                "length": torch.tensor([tokens], dtype=torch.int32),
            }
            outputs = self.prefill.run(inputs, self.state)
        self.position += tokens
        return outputs["logits"][0, 0].float()


def dequantized(model: MobileVLM) -> MobileVLM:
    for module in model.modules():
        weight: Any = getattr(module, "weight", None)
        if isinstance(module, nn.Linear | nn.Embedding) and is_quantized(weight):
            module.weight = nn.Parameter(weight.dequantize().float(), requires_grad=False)
    return model


def lower(model: MobileVLM, recipe: Recipe, folder: Path, **options: Any) -> Lowered:
    quantize(model, recipe)
    lower_coreml(model, recipe, folder, max_context=CONTEXT, prefill_chunk=CHUNK, **options)
    single = {recipe.vision, recipe.projector} == {"fp32"}
    return Lowered(folder, dequantized(model), SINGLE if single else HALF, HALF_CACHE if recipe.llm == "fp32" else HALF)


_WAYS = {
    "fp32": (RECIPES["fp32"], "slice"),
    "int8": (RECIPES["int8"], "slice"),
    "int4": (RECIPES["int4"], "slice"),
    "int4, one-hot": (make_recipe("int4", embedding="int4"), "one-hot"),
    "fp32, one-hot": (make_recipe("fp32", projector="int8"), "one-hot"),
}


@pytest.fixture(scope="module", params=_WAYS)
def lowered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    recipe, cache_update = _WAYS[request.param]
    folder = tmp_path_factory.mktemp(recipe.name)
    return lower(random_model(), recipe, folder, cache_update=cache_update)


@pytest.fixture(scope="module")
def int4(tmp_path_factory: pytest.TempPathFactory) -> Lowered:
    return lower(random_model(), RECIPES["int4"], tmp_path_factory.mktemp("int4"))


def embeds_of(model: MobileVLM, tokens: int) -> Tensor:
    generator = torch.Generator().manual_seed(tokens)
    return model.token_embedding(torch.randint(0, TINY.llm.vocab_size, (1, tokens), generator=generator))


@torch.inference_mode()
@pytest.mark.parametrize("recipe", ["fp32", "int8"])
@pytest.mark.parametrize("projector_type", ["ldpnet", "mlp2x_gelu", "linear"])
def test_the_vision_encoder_equals_the_model_with_every_projector(
    tmp_path: Path, projector_type: str, recipe: str
) -> None:
    test_the_vision_encoder_equals_the_model(
        lower(random_model(projector_type=projector_type), RECIPES[recipe], tmp_path)
    )


@torch.inference_mode()
def test_the_vision_encoder_equals_the_model(lowered: Lowered) -> None:
    pixels = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    picture = pixels[0].permute(1, 2, 0).numpy()
    outputs = Program.open(lowered.folder / VISION_ENCODER).function().run({"image": picture})
    expected = {
        "image_embeddings": lowered.reference.vision_encoder(pixels),
        "features": lowered.reference.vision_features(pixels),
    }
    for name, value in expected.items():
        torch.testing.assert_close(outputs[name].float(), value, atol=lowered.vision_tolerance, rtol=0)


@torch.inference_mode()
def test_prefill_in_chunks_and_decode_equal_the_whole_text(lowered: Lowered) -> None:
    embeds = embeds_of(lowered.reference, CONTEXT)
    expected = lowered.reference.text_decoder(embeds)[0]
    decoder = lowered.text_decoder()
    for tokens in (CHUNK, 5, 1, 1, 3, CHUNK, 1, CHUNK, CHUNK, 2, 1, 1, CHUNK, 4, 1):
        begin = decoder.position
        logits = decoder.feed(embeds[:, begin : begin + tokens])
        torch.testing.assert_close(logits, expected[decoder.position - 1], atol=lowered.text_tolerance, rtol=0)
    assert decoder.position == CONTEXT  # the last chunk was padded beyond it


@torch.inference_mode()
def test_padding_changes_no_answer(int4: Lowered) -> None:
    """Whatever is in the padding, and however a text is cut into chunks, the answer is the same to the last bit."""
    embeds = embeds_of(int4.reference, 24)
    answers = []
    for padding in (0.0, 1e4, float("inf"), float("nan")):
        decoder = TextDecoder(int4.folder / TEXT_DECODER, padding)
        for begin, end in ((0, 5), (5, 12), (12, 13), (13, 15)):
            decoder.feed(embeds[:, begin:end])
        answers.append(torch.stack([decoder.feed(embeds[:, at : at + 1]) for at in range(15, 24)]))
    for answer in answers[1:]:
        assert torch.equal(answer, answers[0])
    whole = int4.text_decoder()
    for begin in (0, 8):
        whole.feed(embeds[:, begin : begin + 8])
    last = [whole.feed(embeds[:, at : at + 1]) for at in range(16, 24)]
    torch.testing.assert_close(torch.stack(last), answers[0][1:], atol=HALF, rtol=0)


@torch.inference_mode()
def test_a_new_text_overwrites_the_cache(int4: Lowered) -> None:
    decoder = int4.text_decoder()
    for begin in (0, 8, 16):
        decoder.feed(embeds_of(int4.reference, 24)[:, begin : begin + 8])
    decoder.position = 0
    again, fresh = embeds_of(int4.reference, 6), int4.text_decoder()
    assert torch.equal(decoder.feed(again), fresh.feed(again))


@torch.inference_mode()
def test_heads_may_share_keys_and_values(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = MobileVLM(replace(TINY, llm=replace(TINY.llm, num_kv_heads=1))).eval().requires_grad_(False)
    made = lower(model, RECIPES["fp32"], tmp_path)
    embeds = embeds_of(made.reference, 12)
    decoder = made.text_decoder()
    decoder.feed(embeds[:, :7])
    logits = decoder.feed(embeds[:, 7:])
    torch.testing.assert_close(logits, made.reference.text_decoder(embeds)[0, -1], atol=HALF_CACHE, rtol=0)


@torch.inference_mode()
def test_large_activations_do_not_overflow(tmp_path: Path) -> None:
    """A language model's residual stream reaches thousands, whose squares float16 doesn't hold."""
    model = random_model()
    made = lower(copy.deepcopy(model), make_recipe("int8", embedding="fp32"), tmp_path)
    embeds = 2000 * embeds_of(made.reference, 6)
    assert float(embeds.abs().max()) > 500
    logits = made.text_decoder().feed(embeds)
    expected = made.reference.text_decoder(embeds)[0, -1]
    assert torch.nn.functional.cosine_similarity(logits, expected, dim=0) > 0.999


@torch.inference_mode()
def test_the_decoder_gets_the_rows_of_the_token_table(lowered: Lowered) -> None:
    table = read_token_table(lowered.folder / TOKEN_EMBEDDING)
    assert torch.equal(table, lowered.reference.token_embedding.weight)
