"""Follows the files to which coding agents write their sessions.

`places.py`: where they are; `scan.py`: finds them and what has changed; `file.py`: one
file, its position and its events; `mark.py`: what tells a file that grew from one that
was truncated, replaced or edited; `follower.py`: all files, the newest first;
`outbox.py`: what waits to be sent; `positions.py`: the marks in the lake.
"""
