//! The sans-I/O machine: `observe(now, …)`, `advance(now)`, `next_deadline()`.
