"""Who chooses the next configuration: searchers that play the environment, and the model that picks the incumbent.

The modules import torch or Optuna, so they are imported when they are needed: ``search.registry`` knows their names.
"""
