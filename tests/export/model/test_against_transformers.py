"""With the same weights, the model computes the same as transformers' CLIP and LLaMA and the published LDPv2."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaForCausalLM
from transformers import LlamaConfig as HFLlamaConfig

from mobilevlm_export.config import LlamaConfig, MobileVLMConfig, ProjectorConfig, VisionConfig
from mobilevlm_export.model.ldpv2 import LDPv2
from mobilevlm_export.model.mobilellama import MobileLlama
from mobilevlm_export.model.vision_encoder import CLIPVisionTower

TOLERANCE = 2e-4


def _assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max().item() <= TOLERANCE


@pytest.mark.parametrize(("image_size", "heads", "select_layer"), [(56, 2, -2), (84, 4, -1), (112, 2, 2)])
def test_vision_tower_is_transformers_clip(image_size: int, heads: int, select_layer: int) -> None:
    torch.manual_seed(0)
    config = VisionConfig(
        image_size=image_size,
        hidden_size=64,
        intermediate_size=96,
        num_layers=4,
        num_heads=heads,
        select_layer=select_layer,
    )
    theirs = CLIPVisionModel(
        CLIPVisionConfig(
            image_size=image_size,
            patch_size=14,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=4,
            num_attention_heads=heads,
        )
    ).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    ours = CLIPVisionTower(config).eval()
    state = {name.removeprefix("vision_model."): tensor for name, tensor in theirs.state_dict().items()}
    own = {
        name.replace("layers.", "encoder.layers.").replace("position_embedding", "position_embedding.weight"): name
        for name in ours.state_dict()
    }
    ours.load_state_dict({mine: state[published] for published, mine in own.items()})
    images = torch.randn(2, 3, image_size, image_size)
    with torch.no_grad():
        hidden = theirs(images, output_hidden_states=True).hidden_states[select_layer]
        _assert_close(ours(images), hidden[:, 1:])


class _PublishedLDPv2(nn.Module):
    """LDPv2 as in figure 3 of the paper, implemented independently as a reference."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.state = state

    def forward(self, x: Tensor) -> Tensor:
        s = self.state
        x = nn.functional.gelu(x @ s["fc1.weight"].T + s["fc1.bias"]) @ s["fc2.weight"].T + s["fc2.bias"]
        n, p, d = x.shape
        side = int(p**0.5)
        pooled = x.view(n, side // 2, 2, side // 2, 2, d).mean(dim=(2, 4))  # [N, G/2, G/2, D]
        padded = nn.functional.pad(pooled, (0, 0, 1, 1, 1, 1))
        kernel = s["peg.weight"][:, 0]  # [D, 3, 3]
        half = side // 2
        peg = sum(padded[:, dy : dy + half, dx : dx + half] * kernel[:, dy, dx] for dy in range(3) for dx in range(3))
        return (peg + s["peg.bias"] + pooled).reshape(n, half * half, d)


def test_ldpv2_is_the_published_projector() -> None:
    torch.manual_seed(0)
    ours = LDPv2(ProjectorConfig(48, 64)).eval()
    features = torch.randn(2, 64, 48)
    with torch.no_grad():
        _assert_close(ours(features), _PublishedLDPv2(ours.state_dict())(features))


@pytest.fixture(params=[(4, 4), (4, 2)], ids=["mha", "gqa"])
def llamas(request: pytest.FixtureRequest) -> tuple[MobileLlama, LlamaForCausalLM]:
    torch.manual_seed(0)
    heads, kv_heads = request.param
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=96,
        num_layers=3,
        num_heads=heads,
        num_kv_heads=kv_heads,
        max_position_embeddings=64,
    )
    theirs = LlamaForCausalLM(
        HFLlamaConfig(
            vocab_size=128,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=3,
            num_attention_heads=heads,
            num_key_value_heads=kv_heads,
            rms_norm_eps=config.rms_norm_eps,
            max_position_embeddings=64,
        )
    ).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.1)
    ours = MobileLlama(config).eval()
    state = {name.removeprefix("model."): tensor for name, tensor in theirs.state_dict().items()}
    ours.load_state_dict({name: state[name] for name in ours.state_dict()})
    return ours, theirs


def test_text_decoder_is_transformers_llama(llamas: tuple[MobileLlama, LlamaForCausalLM]) -> None:
    ours, theirs = llamas
    embeds = torch.randn(2, 20, 64)
    with torch.no_grad():
        _assert_close(ours(embeds), theirs(inputs_embeds=embeds).logits)


def test_cached_decode_and_chunked_prefill_equal_the_whole(llamas: tuple[MobileLlama, LlamaForCausalLM]) -> None:
    ours, _ = llamas
    embeds = torch.randn(1, 20, 64)
    with torch.no_grad():
        whole = ours(embeds)
        for chunks in ([20], [7, 7, 6], [12] + [1] * 8, [1] * 20):
            ours.setup_cache(max_context=32)
            at, logits = 0, []
            for size in chunks:
                logits.append(ours(embeds[:, at : at + size], torch.tensor([at])))
                at += size
            _assert_close(torch.cat(logits, dim=1), whole)


def test_composed_model_reads_normalized_pixels(tiny_config: MobileVLMConfig) -> None:
    from mobilevlm_export.model import MobileVLM

    torch.manual_seed(0)
    model = MobileVLM(tiny_config).eval()
    size = tiny_config.vision.image_size
    pixels = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    mean, std = (
        torch.tensor(v).view(1, 3, 1, 1) for v in (tiny_config.vision.image_mean, tiny_config.vision.image_std)
    )
    with torch.no_grad():
        features = model.vision_encoder.tower((pixels.float() / 255 - mean) / std)
        _assert_close(model.vision_features(pixels), features)
        _assert_close(model.vision_encoder(pixels), model.vision_encoder.projector(features))
