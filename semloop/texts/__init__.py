"""Texts of events for people and search: readable, without data, within a bound."""
