# data/rrsisd/{refs(unc).p,instances.json} and data/images/rrsisd/JPEGImages/.
_base_ = './referring.py'
_dataset = dict(type='RRSISDDataset', data_root='data')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
