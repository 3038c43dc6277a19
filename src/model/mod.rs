//! The vocabulary: environments, series, operation naming, points in time.
