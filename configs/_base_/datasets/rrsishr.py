# data/rrsishr/{refs(unc).p,instances.json} and data/images/rrsishr/JPEGImages/.
_base_ = './referring.py'
_dataset = dict(type='RRSISHRDataset', data_root='data')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
