"""The spool: events lie in files from the moment `emit` returns until Kafka has them.

`layout.py`: how records lie in a segment; `segment.py`: one file, mapped into memory
(`mapping.py`), or memory that gets a file later (`storing.py`);
`chain.py`: the segments of one process; `writer.py` appends to it, `reader.py` takes
what is left to send; `folder.py`: the files of all processes; `orphans.py`: those of
processes that have ended; `names.py`: for which broker and topic;
`inspection.py`: what is there, for people.
"""
