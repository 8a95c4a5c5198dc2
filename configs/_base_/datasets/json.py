# Data of one's own: data/mine/annotations.jsonl, one JSON object per line; see
# ReferringJsonDataset. Paths in it start from data/mine.
_base_ = './referring.py'
_dataset = dict(type='ReferringJsonDataset', data_root='data/mine')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
