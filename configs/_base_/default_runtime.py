custom_imports = dict(imports=['mmcadformer'], allow_failed_imports=False)
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
model_wrapper_cfg = dict(type='MMDistributedDataParallel', find_unused_parameters=False)
# With several GPUs: batches are small, so statistics are those of all GPUs together.
sync_bn = 'torch'
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ReferringVisualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=True)
log_level = 'INFO'
load_from = None
resume = False
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        # Two, so that a run killed while it saves has one to resume from.
        max_keep_ckpts=2,
        save_best='oIoU',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='ReferringVisualizationHook', draw=True, val_samples=8),
)
custom_hooks = [
    dict(type='EpochSeedHook'),  # a resumed run ends like an uninterrupted one
    dict(type='FiniteStepsHook', interval=10, max_in_row=10),  # NaN ends the run
    dict(type='TruncationReportHook'),  # says how many expressions were cut
]
