//! Event-time windows on shared boundaries: grid, watermark, open, sealed, ring.
