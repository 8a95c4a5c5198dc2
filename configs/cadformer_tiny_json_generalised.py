# A small CADFormer that says whether there is a target, on JSON lines of your own with
# sentences for none (docs/generalised.md). Begins with what the one of windows knows:
# --cfg-options load_from=work_dirs/windows/epoch_3.pth
_base_ = './cadformer_tiny_windows_generalised.py'
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='PhotoMetricDistortion'),  # other seasons and sensors
    _base_.train_pipeline[-1],
]
_data = dict(data_root='data/mine')
# Many small steps get further in the same time.
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline, **_data))
val_dataloader = dict(dataset=_data)
test_dataloader = dict(dataset=_data)
optim_wrapper = dict(optimizer=dict(lr=5e-4))
train_cfg = dict(max_epochs=2)
