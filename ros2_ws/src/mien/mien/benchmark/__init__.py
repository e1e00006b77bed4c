"""Times and memory of the whole pipeline, in-process and over DDS: what `mien bench` measures."""
