"""The contracts between the steps.

What may change freely, what needs a new version: see README.md beside this file.
"""
