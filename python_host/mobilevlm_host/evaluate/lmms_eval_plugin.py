"""What lmms-eval finds under its entry points: the name by which ``--model`` chooses a model of the kit."""

from __future__ import annotations

from lmms_eval.models.registry_v2 import ModelManifest

MANIFEST = ModelManifest("mobilevlm", simple_class_path="mobilevlm_host.evaluate.lmms_eval_model.LmmsEvalModel")
