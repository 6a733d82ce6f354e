"""What `experiments/pretrain_mini.py` is made of: drawing, one training loop, the two models, and the model card."""
