"""Follows the files to which coding agents write their sessions.

`places.py`: where they are; `scan.py`: finds them; `known.py`: what has changed;
`file.py`: one file and its events; `pieces.py`: its lines; `mark.py`: what tells a file
that grew from one that was truncated, replaced or edited; `follower.py`: all files, the
newest first; `outbox.py`: what waits to be sent; `positions.py`: the marks in the lake.
"""
