# CADFormer with a presence head on gRefCOCO: sentences with no, one or several targets.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/grefcoco.py',
    './_base_/schedules/poly_40e.py',
    './_base_/generalised_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=40), decode_head=dict(presence=dict()))
