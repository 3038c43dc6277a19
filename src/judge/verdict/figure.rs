//! A number that may be absent, in eight bytes: a report has a dozen of them for every operation.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A finite number, or none: `null` in JSON.
///
/// What is none is kept as NaN, so that it takes half of what an `Option<f64>` takes; whatever is not finite is none.
#[derive(Clone, Copy)]
pub struct Figure(f64);

impl Figure {
    /// There is no number.
    pub const NONE: Figure = Figure(f64::NAN);

    /// The number, if there is one.
    pub fn get(self) -> Option<f64> {
        self.0.is_finite().then_some(self.0)
    }

    /// Whether there is no number.
    pub fn is_none(&self) -> bool {
        !self.0.is_finite()
    }
}

impl Default for Figure {
    fn default() -> Figure {
        Figure::NONE
    }
}

impl From<f64> for Figure {
    fn from(number: f64) -> Figure {
        Figure(number)
    }
}

impl From<Option<f64>> for Figure {
    fn from(number: Option<f64>) -> Figure {
        number.map_or(Figure::NONE, Figure)
    }
}

impl PartialEq for Figure {
    fn eq(&self, other: &Figure) -> bool {
        self.get() == other.get()
    }
}

impl std::fmt::Debug for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.get().fmt(f)
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Figure, D::Error> {
        Option::<f64>::deserialize(deserializer).map(Figure::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_takes_eight_bytes_and_is_written_as_a_number_or_null() {
        assert_eq!(size_of::<Figure>(), 8);
        let figures = [Figure::from(0.1), Figure::from(-0.0), Figure::NONE, Figure::from(f64::INFINITY)];
        let text = serde_json::to_string(&figures).unwrap();
        assert_eq!(text, serde_json::to_string(&[Some(0.1), Some(-0.0), None, None]).unwrap());
        assert_eq!(serde_json::from_str::<[Figure; 4]>(&text).unwrap(), figures);
        assert_eq!(figures.map(Figure::get), [Some(0.1), Some(-0.0), None, None]);
    }
}
