# CADFormer on RRSIS-D and RRSIS-HR at once, tested on each.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/rrsisd_rrsishr.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=64))
