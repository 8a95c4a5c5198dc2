# CADFormer on data of one's own in a file of JSON lines (ReferringJsonDataset).
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/json.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=40))
