# For models with a presence head: the best weights by gIoU, with their threshold.
_base_ = './default_runtime.py'
default_hooks = dict(checkpoint=dict(save_best='gIoU'))
custom_hooks = [
    dict(type='EpochSeedHook'),
    dict(type='FiniteStepsHook', interval=10, max_in_row=10),
    dict(type='TruncationReportHook'),
    dict(type='PresenceThresholdHook'),
]
