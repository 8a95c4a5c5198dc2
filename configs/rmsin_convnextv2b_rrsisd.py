# RMSIN on RRSIS-D with ConvNeXt V2-B.
_base_ = ['./rmsin_swinb_rrsisd.py', './_base_/models/convnextv2b.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='ReferringBackbone',
        host=_base_.convnextv2b,
        fusion=dict(type='RMSINFusion'),
        text_output=False,
        text_channels=768,
    )
)
