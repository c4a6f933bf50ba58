"""The model in plain torch: vision encoder → projector → MobileLLaMA (arXiv 2402.03766, figure 2)."""

from mobilevlm_export.model.mobilevlm import MobileVLM

__all__ = ["MobileVLM"]
