"""Host programs that treat the SDK badly, and what must be true of each run.

`programs/`: the hosts; `host.py`: what they share; `host_run.py` runs one and judges it;
`test_hosts.py`: each once; `test_host_storm.py`: many times with random timing.
"""
