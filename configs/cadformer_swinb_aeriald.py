# Pre-training on Aerial-D, a million sentences. Four epochs, as each draws one sentence
# of each object and group. Then, on RRSIS-D:
# python tools/train.py configs/cadformer_swinb_rrsisd.py --cfg-options
#     load_from=work_dirs/cadformer_swinb_aeriald/epoch_4.pth
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/aeriald.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=40))
train_cfg = dict(max_epochs=4)
