"""The embedders and their common interface.

`factory` creates the one named in the settings. Each embedder imports its libraries
when it is created.

`vocabulary.txt` is the vocabulary of all-MiniLM-L6-v2 (Apache-2.0), which is BERT's.
"""
