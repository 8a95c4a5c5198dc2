# The quickstart: BERT, Swin and all else from scratch, minutes on two CPU cores.
_base_ = [
    './_base_/models/cadformer_tiny.py',
    './_base_/datasets/synthrs.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
# The paper's text to the letter has no neck; without it the minutes go further.
# Masks are decided on a grid of a quarter of the size: 24 x 24. True masks that are
# averaged over its cells and enlarged reach 95 mIoU; at 64 px, 90.
image_size = (96, 96)
# From scratch, language features grow from stage to stage in some trainings, until all
# words are alike and the result is poor (projects/cadformer/results/README.md).
model = dict(neck=None, backbone=dict(pretrain_img_size=96, steady_language=True))
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
train_dataloader = dict(
    batch_size=32, num_workers=1, dataset=dict(pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=32, num_workers=1, dataset=dict(pipeline=test_pipeline)
)
test_dataloader = dict(
    batch_size=32, num_workers=1, dataset=dict(pipeline=test_pipeline)
)
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_epochs=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=0.9, by_epoch=True, convert_to_iter_based=True),
]
