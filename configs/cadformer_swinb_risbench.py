# CADFormer on RISBench, which its paper doesn't report: the settings for RRSIS-D, and
# room for longer expressions.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/risbench.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=40))
