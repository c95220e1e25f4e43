"""The index's parts: segments in files, the newest rows in memory, the manifest that names them, what a fold writes."""
