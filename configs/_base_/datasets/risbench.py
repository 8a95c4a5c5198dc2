# data/risbench/{refs(unc).p,instances.json} and data/images/risbench/JPEGImages/: what
# the family uses, not checked against a published copy; see RISBenchDataset.
_base_ = './referring.py'
_dataset = dict(type='RISBenchDataset', data_root='data')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
