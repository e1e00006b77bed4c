"""The published data sets in their official layouts, one file each."""
