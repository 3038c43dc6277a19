//! Mergeable summaries of observations: latency sketch, presence matrix, counters.
