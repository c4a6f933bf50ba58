"""``python -m mobilevlm_host.bench.phones BUNDLE``: an ESTIMATE of a bundle's speed on two chips. Nothing was run on phones.

A roofline model: a phone can't exceed its integer peak and its memory bandwidth, and may reach the same fraction of them as was
measured with the same engine elsewhere. The app's "Check this phone" measures instead.

Sources. Cores and clocks: Qualcomm's announcements of December 2020 (888) and May 2021 (778G). Operations a cycle: Arm's
software optimization guides, by which Cortex-A78 issues two 128-bit SDOT or FMLA a cycle and Cortex-X1 four. Memory: LPDDR5-6400
on two (778G) or four (888) 16-bit channels. Fraction reached: ExecuTorch's examples/models/llama/README.md, Llama 3.2 1B
(SpinQuant: the same scheme for linears as this kit's int4) on a OnePlus 12, by XNNPACK with KleidiAI. Peer: llama.cpp's
docs/multimodal/MobileVLM.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mobilevlm_export.bundle.manifest import Manifest
from mobilevlm_export.bundle.read import Bundle
from mobilevlm_export.errors import BundleError, MobileVLMError
from mobilevlm_host.bench.operations import Work, text_decoder_work, vision_encoder_work
from mobilevlm_host.terminal.output import print_table

_QUESTION, _CONTEXT = 64, 256  # tokens in the prefilled prompt, and before the decoded token

# On the OnePlus 12's Snapdragon 8 Gen 3. Prefill: 260.5 tok/s x 0.973e9 weights x 2 = 507e9 operations a second. The peak of four
# of its cores (an X4 of 3.3 GHz, three A720 of 3.15) is 1027e9 with SDOT, and twice that with SMMLA, which both phones below
# lack: so a quarter or a half of the peak.
_COMPUTE_REACHED = (0.25, 0.5)
# Decode: 50.2 tok/s x 873 MB (the .pte less its embedding) = 43.8 GB/s of 76.8 (LPDDR5X-9600 on 64 bits).
_BANDWIDTH_REACHED = 0.57


@dataclass(frozen=True)
class Phone:
    """A chip's fast cores, usually four; rates are per second."""

    name: str
    cores: Sequence[tuple[float, int]]  # clock in GHz, SIMD pipes of 128 bits
    bandwidth: float  # bytes

    @property
    def linear_peak(self) -> float:
        """Operations of int8 dot products: 16 multiplications and additions per pipe and cycle."""
        return sum(1e9 * clock * pipes * 32 for clock, pipes in self.cores)

    @property
    def float_peak(self) -> float:
        """Operations in float32: four multiplications and additions per pipe and cycle."""
        return self.linear_peak / 4

    def seconds(self, work: Work, compute: float = 1.0, bandwidth: float = 1.0) -> float:
        """The least time for ``work`` at these fractions of the peaks: for computing, or for reading if that takes longer."""
        computing = work.linear_ops / self.linear_peak + work.float_ops / self.float_peak
        return max(computing / compute, work.bytes / self.bandwidth / bandwidth)

    def estimate(self, work: Work) -> tuple[float, float, float]:
        """Seconds at the limit, and with the larger and the smaller fraction of the peak reached elsewhere."""
        slow, fast = (self.seconds(work, share, _BANDWIDTH_REACHED) for share in _COMPUTE_REACHED)
        return self.seconds(work), fast, slow


PHONES = (
    Phone("Snapdragon 778G", ((2.4, 2), (2.2, 2), (2.2, 2), (2.2, 2)), 25.6e9),
    Phone("Snapdragon 888", ((2.84, 4), (2.42, 2), (2.42, 2), (2.42, 2)), 51.2e9),
)
# An image, prompt and answer by llama.cpp, as published: for MobileVLM V2 1.7B, and on the 888 for the first MobileVLM 1.7B,
# which has the same tower and decoder.
_PEER = {
    "Snapdragon 778G": ("20.6 s", "21 tok/s", "12.8 tok/s"),
    "Snapdragon 888": ("21.1 s", "20 tok/s", "14.1 tok/s"),
}


def estimates(manifest: Manifest) -> list[tuple[str, ...]]:
    """Rows: phone, step, at the limit, as reached elsewhere, llama.cpp's published timing of the 1.7B.

    Raises:
        BundleError: the bundle has no ExecuTorch program, or its linears aren't quantized, so that these peaks don't apply.
    """
    artifacts, recipe = manifest.values["artifacts"], manifest.values["quantization"]["recipe"]
    if "executorch" not in artifacts:
        raise BundleError(f"got artifacts for {', '.join(artifacts)}, expected executorch")
    if "fp32" in (recipe.get("llm"), recipe.get("vision")):
        raise BundleError(f"got the recipe {recipe.get('name')}, expected one whose linears are int8 or int4")
    tokens = manifest.config.image_tokens
    picture = vision_encoder_work(manifest) + text_decoder_work(manifest, tokens, 0)
    rows: list[tuple[str, ...]] = []
    for phone in PHONES:
        peer = _PEER[phone.name]
        pictures = phone.estimate(picture)
        prompt = [_QUESTION / seconds for seconds in phone.estimate(text_decoder_work(manifest, _QUESTION, tokens))]
        answer = [1 / seconds for seconds in phone.estimate(text_decoder_work(manifest, 1, _CONTEXT))]
        rows += [
            (
                phone.name,
                "image into the KV cache",
                f"{pictures[0]:.1f} s",
                f"{pictures[1]:.1f}–{pictures[2]:.1f} s",
                peer[0],
            ),
            (
                "",
                f"prefill of {_QUESTION} tokens",
                f"{prompt[0]:.0f} tok/s",
                f"{prompt[2]:.0f}–{prompt[1]:.0f} tok/s",
                peer[1],
            ),
            ("", f"decode after {_CONTEXT} tokens", f"{answer[0]:.1f} tok/s", f"{answer[1]:.1f} tok/s", peer[2]),
        ]
    return rows


def main(arguments: Sequence[str]) -> None:
    """Print the estimates for the bundle that ``arguments`` name."""
    if len(arguments) != 1:
        sys.exit("usage: python -m mobilevlm_host.bench.phones BUNDLE")
    try:
        with Bundle.open(arguments[0]) as bundle:
            rows = estimates(bundle.manifest)
    except MobileVLMError as error:
        sys.exit(f"Error: {error}")
    title = f'ESTIMATE for {arguments[0]}, from operation counts: measured on no phone (the app\'s "Check this phone" does that)'
    print_table(title, ("phone", "", "limit", "as reached elsewhere", "llama.cpp, 1.7B, published"), rows)


if __name__ == "__main__":
    main(sys.argv[1:])
