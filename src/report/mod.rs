//! Verdicts → table, JSON, Markdown. Pure renderers.
