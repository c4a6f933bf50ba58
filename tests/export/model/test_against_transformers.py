"""With the same weights, the model computes the same as transformers' CLIP and LLaMA and the published projectors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaForCausalLM
from transformers import LlamaConfig as HFLlamaConfig

from mobilevlm_export.checkpoint.key_map import published_names, published_shape
from mobilevlm_export.config import LlamaConfig, MobileVLMConfig, VisionConfig
from mobilevlm_export.errors import ConfigError
from mobilevlm_export.model.ldp import squeezed
from mobilevlm_export.model.ldpv2 import LDPv2
from mobilevlm_export.model.mobilellama import MobileLlama
from mobilevlm_export.model.projector import make_projector
from mobilevlm_export.model.vision_encoder import CLIPVisionTower
from mobilevlm_export.projector_config import ProjectorConfig

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


class _PublishedLDP:
    """LDP as in figure 3 of MobileVLM's paper and MobileNetV3's block, implemented independently on the published weights."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = {key.removeprefix("model.mm_projector.model."): tensor for key, tensor in state.items()}

    def __call__(self, x: Tensor) -> Tensor:
        s = self.state
        x = nn.functional.gelu(x @ s["mlp.1.weight"].T + s["mlp.1.bias"]) @ s["mlp.3.weight"].T + s["mlp.3.bias"]
        n, p, d = x.shape
        side = int(p**0.5)
        x = x.transpose(1, 2).reshape(n, d, side, side)
        x = x + self._block(x, "mb_block.1.block.", 1)
        return self._block(x, "mb_block.2.block.", 2).flatten(2).transpose(1, 2)

    def _block(self, x: Tensor, at: str, stride: int) -> Tensor:
        s = self.state
        x = nn.functional.conv2d(x, s[at + "0.0.weight"], stride=stride, padding=1, groups=x.shape[1])
        x = self._norm(x, at + "0.1")
        x = x * (x + 3).clamp(0, 6) / 6
        means = x.mean(dim=(2, 3), keepdim=True)
        hidden = nn.functional.conv2d(means, s[at + "1.fc1.weight"], s[at + "1.fc1.bias"]).clamp(min=0)
        gates = nn.functional.conv2d(hidden, s[at + "1.fc2.weight"], s[at + "1.fc2.bias"])
        x = nn.functional.conv2d(x * ((gates + 3).clamp(0, 6) / 6), s[at + "2.0.weight"])
        return self._norm(x, at + "2.1")

    def _norm(self, x: Tensor, at: str) -> Tensor:
        centered = x - x.mean(dim=1, keepdim=True)
        normal = centered / ((centered**2).mean(dim=1, keepdim=True) + 1e-5).sqrt()
        return normal * self.state[at + ".weight"][:, None, None] + self.state[at + ".bias"][:, None, None]


def _published(projector: nn.Module, projector_type: str) -> dict[str, Tensor]:
    """The projector's weights as in a checkpoint."""
    state = projector.state_dict()
    names = published_names(MobileVLMConfig.tiny(projector_type))
    mine = {key: name.removeprefix("vision_encoder.projector.") for key, name in names.items() if "mm_projector" in key}
    assert set(mine.values()) == set(state)
    return {key: state[name].reshape(published_shape(key, state[name].shape)) for key, name in mine.items()}


def _random(projector: nn.Module) -> nn.Module:
    for parameter in projector.parameters():
        nn.init.normal_(parameter, std=0.3)  # norms and biases too: at 1 and 0 a mixed-up key would not show
    return projector.eval()


@pytest.mark.parametrize("width", [64, 96])
def test_ldp_is_the_published_projector(width: int) -> None:
    torch.manual_seed(0)
    ours = _random(make_projector(ProjectorConfig(48, width, "ldpnet")))
    state = _published(ours, "ldpnet")
    assert state["model.mm_projector.model.mb_block.1.block.0.0.weight"].shape == (width, 1, 3, 3)
    assert state["model.mm_projector.model.mb_block.2.block.1.fc1.weight"].shape == (squeezed(width), width, 1, 1)
    assert state["model.mm_projector.model.mb_block.2.block.2.0.weight"].shape == (width, width, 1, 1)
    features = torch.randn(2, 64, 48)
    with torch.no_grad():
        assert ours(features).shape == (2, 16, width)
        _assert_close(ours(features), _PublishedLDP(state)(features))


@pytest.mark.parametrize(
    ("width", "expected"), [(2048, 512), (2560, 640), (192, 48), (96, 24), (64, 16), (16, 8), (76, 24)]
)
def test_squeezed_channels_are_mobilenets(width: int, expected: int) -> None:
    assert squeezed(width) == expected


@pytest.mark.parametrize(
    ("projector_type", "keys"),
    [("linear", [""]), ("mlp1x_gelu", ["0."]), ("mlp2x_gelu", ["0.", "2."]), ("mlp3x_gelu", ["0.", "2.", "4."])],
)
def test_llavas_projectors_are_linears_with_gelu_between(projector_type: str, keys: list[str]) -> None:
    torch.manual_seed(0)
    ours = _random(make_projector(ProjectorConfig(48, 64, projector_type)))
    state = _published(ours, projector_type)
    expected = [f"model.mm_projector.{key}{each}" for key in keys for each in ("weight", "bias")]
    assert sorted(state) == sorted(expected)
    x = features = torch.randn(2, 16, 48)
    for at, key in enumerate(keys):
        x = nn.functional.gelu(x) if at else x
        x = x @ state[f"model.mm_projector.{key}weight"].T + state[f"model.mm_projector.{key}bias"]
    with torch.no_grad():
        _assert_close(ours(features), x)


@pytest.mark.parametrize(
    "projector_type", ["identity", "mlp0x_gelu", "mlp10x_gelu", "mlp2x_res2x_gelu", "ldpnetv3", ""]
)
def test_other_projectors_are_refused_by_name(projector_type: str) -> None:
    with pytest.raises(
        ConfigError, match=f"mm_projector_type: got '{projector_type}', expected one of ldpnetv2, ldpnet, linear"
    ):
        ProjectorConfig(48, 64, projector_type)


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
