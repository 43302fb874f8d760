"""The embedders, and the contract that they keep.

`factory` makes the one that the settings name. Each loads its libraries when it is
made.

`vocabulary.txt` is that of the model all-MiniLM-L6-v2 (Apache-2.0), which is BERT's.
"""
