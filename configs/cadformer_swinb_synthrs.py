# Full size on SynthRS at 480x480, for a GPU. Weights are optional: --cfg-options
# model.backbone.init_cfg=None model.text_encoder.pretrained=None
# model.text_encoder.vocab=remote_sensing trains from scratch.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/synthrs.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=40))
