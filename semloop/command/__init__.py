"""The command `semloop`.

Allowed import directions: terminal <- stack <- doctor, demo <- cli.
"""
