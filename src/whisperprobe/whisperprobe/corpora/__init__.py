"""Corpora made and fetched: Common Voice downloaded and imported, log-mels, files for other tools; and all of it checked."""
