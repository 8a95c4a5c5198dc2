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
train_dataloader = dict(dataset=dict(pipeline=_train_pipeline, **_dataset))
val_dataloader = dict(dataset=dict(pipeline=_test_pipeline, **_dataset))
test_dataloader = dict(dataset=dict(pipeline=_test_pipeline, **_dataset))
max_epochs = 30
train_cfg = dict(max_epochs=max_epochs)
