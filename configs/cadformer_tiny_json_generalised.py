# A small CADFormer that says whether there is a target, on JSON lines of your own with
# sentences for none (docs/generalised.md). Begins with what the one on SynthRS knows:
# --cfg-options load_from=work_dirs/generalised/best_gIoU_epoch_6.pth
_base_ = './cadformer_tiny_synthrs_generalised.py'
_resize = dict(type='Resize', scale={{_base_.image_size}}, keep_ratio=False)
train_pipeline = [
    dict(type='WholeLoadImageFromFile'),
    dict(type='ChooseExpression', mode='random'),
    dict(type='LoadReferringMask'),
    dict(type='RandomReferringFlip', prob=0.5),
    dict(type='RandomReferringRotate90', prob=0.5),
    _resize,
    dict(type='PhotoMetricDistortion'),  # other seasons and sensors
    dict(type='PackReferringInputs'),
]
_dataset = dict(type='ReferringJsonDataset', data_root='data/mine')
# Many small steps get further in the same time.
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline, **_dataset))
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_epochs=6, val_interval=2)
# Where most sentences mean nothing, denying all of them has a good gIoU.
default_hooks = dict(checkpoint=dict(save_best='AUROC'))
