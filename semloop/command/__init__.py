"""The command `semloop`.

Imports go one way: terminal <- stack <- doctor, demo <- cli.
"""
