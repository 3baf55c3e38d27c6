"""Corpora made and fetched: Common Voice downloaded and imported, log-mels, pairs of files; all of it checked."""
