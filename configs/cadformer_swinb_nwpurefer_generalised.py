# CADFormer with a presence head on NWPU-Refer: sentences with no, one or several targets.
_base_ = [
    './_base_/models/cadformer_swinb.py',
    './_base_/datasets/nwpurefer.py',
    './_base_/schedules/poly_40e.py',
    './_base_/default_runtime.py',
]
model = dict(text_encoder=dict(max_tokens=40), decode_head=dict(presence=dict()))
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
