# CADFormer on ConvNeXt V2-B.
_base_ = ['./cadformer_swinb.py', './convnextv2b.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='ReferringBackbone',
        host=_base_.convnextv2b,
        fusion=dict(type='SMGAM'),
        text_channels=768,
    )
)
