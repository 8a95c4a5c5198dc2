# RemoteSAM, which is RMSIN at 896 x 896 pixels with a grid of 28 x 28 in the neck, on
# RRSIS-D. Made for its released weights, converted by
# tools/model_converters/released2mmcadformer.py.
_base_ = './rmsin_swinb_rrsisd.py'
model = dict(
    text_encoder=dict(max_tokens=20, keep_end=False),
    neck=dict(grid_size=28),
)
image_size = (896, 896)
_resize = dict(type='Resize', scale=image_size, keep_ratio=False, backend='pillow')
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
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
