"""The contracts between the steps.

README.md in this folder lists what may change freely and what needs a new version.
"""
