"""Files on disk: artifacts and their checksums, pretrained checkpoints, run directories, atomic writes."""
