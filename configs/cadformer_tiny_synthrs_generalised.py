# A small network on sentences with no, one or several targets, at 64 px. The data:
# python tools/dataset_converters/synthrs.py data_generalised --difficulty generalised
#     --several 0.334 --none 0.333 --max-sentences 1 --image-size 96
#     --train 2500 --val 150 --test 250
_base_ = [
    './_base_/models/cadformer_tiny.py',
    './_base_/datasets/synthrs.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
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
train_dataloader = dict(
    **_loader, dataset=dict(data_root='data_generalised', pipeline=train_pipeline)
)
val_dataloader = dict(
    **_loader, dataset=dict(data_root='data_generalised', pipeline=test_pipeline)
)
test_dataloader = dict(
    **_loader, dataset=dict(data_root='data_generalised', pipeline=test_pipeline)
)
# Validation chooses the threshold of presence, which is stored with the weights.
val_evaluator = dict(
    _delete_=True, type='GeneralizedReferringMetric', choose_threshold=True
)
test_evaluator = dict(_delete_=True, type='GeneralizedReferringMetric')
default_hooks = dict(checkpoint=dict(save_best='gIoU'))
custom_hooks = [
    dict(type='EpochSeedHook'),
    dict(type='FiniteStepsHook', interval=10, max_in_row=10),
    dict(type='TruncationReportHook'),
    dict(type='PresenceThresholdHook'),
]
optim_wrapper = dict(optimizer=dict(lr=1e-3), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_epochs=8)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='PolyLR', power=0.9, by_epoch=True, convert_to_iter_based=True),
]
