"""When each word of a clip is said: forced alignment, Whisper's cross-attention, TextGrids; and words cut out by it."""
