# A small CADFormer from scratch on any folder in the RefCOCO layout:
# python tools/train.py configs/cadformer_tiny_refcoco.py --data-root DIR --data-name NAME
_base_ = './cadformer_tiny_synthrs.py'
_resize = dict(type='Resize', scale=(128, 128), keep_ratio=False)
_train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    dict(type='RandomReferringFlip', prob=0.5),
    dict(type='RandomReferringRotate90', prob=0.5),
    _resize,
    dict(type='PackReferringInputs'),
]
_test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ChooseExpression', mode='first'),
    _resize,
    dict(type='LoadReferringMask'),
    dict(type='PackReferringInputs'),
]
_dataset = dict(type='ReferringSegDataset', data_root='data', name='refcoco')
train_dataloader = dict(
    batch_size=8, dataset=dict(pipeline=_train_pipeline, **_dataset)
)
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline, **_dataset))
test_dataloader = dict(dataset=dict(pipeline=_test_pipeline, **_dataset))
max_epochs = 150
train_cfg = dict(max_epochs=max_epochs, val_interval=50)
default_hooks = dict(checkpoint=dict(interval=50), logger=dict(interval=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='PolyLR',
        power=0.9,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
