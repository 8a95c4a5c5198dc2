# CADFormer with a presence head on SynthRS with no, one or several targets (docs/generalised.md), at full size.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/synthrs_generalised.py',
    './_base_/schedules/poly_40e.py',
    './_base_/generalised_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=40), decode_head=dict(presence=dict()))
