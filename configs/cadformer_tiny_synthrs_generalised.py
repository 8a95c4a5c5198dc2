# A small network on sentences with no, one or several targets, at 64 px. The data:
# python tools/dataset_converters/synthrs.py data_generalised --difficulty generalised
#     --several 0.334 --none 0.333 --max-sentences 1 --image-size 96
#     --train 2500 --val 150 --test 250
_base_ = [
    './_base_/models/cadformer_tiny.py',
    './_base_/datasets/synthrs_generalised.py',
    './_base_/schedules/poly_40e.py',
    './_base_/generalised_runtime.py',
]
model = dict(neck=None, decode_head=dict(presence=dict()))
image_size = (64, 64)
_resize = dict(type='Resize', scale=image_size, keep_ratio=False)
train_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    _resize,
    dict(type='PackReferringInputs'),
]
test_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='first'),
    _resize,
    dict(type='LoadReferringMask'),
    dict(type='PackReferringInputs'),
]
_loader = dict(batch_size=32, num_workers=1)
train_dataloader = dict(**_loader, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(**_loader, dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(**_loader, dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_epochs=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=0.9, by_epoch=True, convert_to_iter_based=True),
]
