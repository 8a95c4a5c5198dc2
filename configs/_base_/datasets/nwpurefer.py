# data/nwpurefer/{new_refs(unc).p,new_instances.json,image/}, see NWPUReferDataset.
_base_ = './referring_generalised.py'
_dataset = dict(type='NWPUReferDataset', data_root='data/nwpurefer')
train_dataloader = dict(dataset=_dataset)
val_dataloader = dict(dataset=_dataset)
test_dataloader = dict(dataset=_dataset)
