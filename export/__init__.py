"""From a checkpoint to a verified bundle and a TensorRT engine; runs on the host."""
