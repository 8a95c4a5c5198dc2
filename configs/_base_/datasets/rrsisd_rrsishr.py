# RRSIS-D and RRSIS-HR together. A test run reports all samples, and each data set under
# rrsisd/<metric> and rrsishr/<metric>. Any other data sets go together the same way.
_base_ = './referring.py'
_train = dict(split='train', data_root='data', pipeline={{_base_.train_pipeline}})
_val = dict(
    split='val', data_root='data', pipeline={{_base_.test_pipeline}}, test_mode=True
)
_test = dict(
    split='test', data_root='data', pipeline={{_base_.test_pipeline}}, test_mode=True
)
# The categories differ; masks are binary in any case, so nothing depends on them.
_concat = dict(_delete_=True, type='ConcatDataset', ignore_keys=['categories'])
train_dataloader = dict(
    dataset=dict(
        _concat,
        datasets=[
            dict(_train, type='RRSISDDataset'),
            dict(_train, type='RRSISHRDataset'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        _concat,
        datasets=[dict(_val, type='RRSISDDataset'), dict(_val, type='RRSISHRDataset')],
    )
)
test_dataloader = dict(
    dataset=dict(
        _concat,
        datasets=[
            dict(_test, type='RRSISDDataset'),
            dict(_test, type='RRSISHRDataset'),
        ],
    )
)
