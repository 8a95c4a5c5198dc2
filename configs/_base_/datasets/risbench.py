# data/risbench/output_phrase_*.txt and data/risbench/RISBench_dataset/{img_rgb,mask}/,
# as published; see RISBenchDataset.
_base_ = './referring.py'
_dataset = dict(type='RISBenchDataset', data_root='data/risbench')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
