"""Stages of transfer learning: recipes, training, checkpoints, and running a whole recipe."""
