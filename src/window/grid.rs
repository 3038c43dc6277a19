//! Windows lie on one grid of event time, the same for every environment.

/// Aligned windows `[k·width, (k+1)·width)` since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Nanoseconds, at least one.
    width_ns: u64,
}

impl Grid {
    /// A grid of windows that are `width_ns` nanoseconds wide (one at least).
    pub fn new(width_ns: u64) -> Grid {
        Grid { width_ns: width_ns.max(1) }
    }

    /// The window that a point in time lies in.
    pub fn index(self, time_ns: u64) -> u64 {
        time_ns / self.width_ns
    }

    /// The first nanosecond of a window.
    pub fn start_ns(self, index: u64) -> u64 {
        index.saturating_mul(self.width_ns)
    }

    /// The first nanosecond after a window.
    pub fn end_ns(self, index: u64) -> u64 {
        index.saturating_add(1).saturating_mul(self.width_ns)
    }

    /// The first window that does not end at or before a point in time.
    pub fn first_open(self, through_ns: u64) -> u64 {
        // The last of all windows ends with time itself.
        if through_ns == u64::MAX { u64::MAX } else { self.index(through_ns) }
    }

    /// Nanoseconds from one boundary to the next.
    pub fn width_ns(self) -> u64 {
        self.width_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_belongs_to_the_window_that_it_opens() {
        let grid = Grid::new(60);
        assert_eq!((grid.index(59), grid.index(60)), (0, 1));
        assert_eq!((grid.start_ns(1), grid.end_ns(1)), (60, 120));
        assert_eq!(grid.end_ns(u64::MAX), u64::MAX);
        assert_eq!((grid.first_open(119), grid.first_open(120), grid.first_open(u64::MAX)), (1, 2, u64::MAX));
    }
}
