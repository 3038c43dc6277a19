//! Quantiles and tails of the normal and Student's t distribution.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// Beyond this many degrees of freedom Student's t is the normal distribution to six digits where it is used here.
const DOF_NORMAL: f64 = 1e6;

/// The value that a standard variable stays under with probability `p` in (0, 1): Student's t with `dof` degrees of
/// freedom, or the normal distribution without.
pub fn critical(p: f64, dof: Option<f64>) -> f64 {
    match student(dof) {
        Some(student) => student.inverse_cdf(p),
        None => Normal::standard().inverse_cdf(p),
    }
}

/// The probability in [0, 1] that a standard variable exceeds `x`.
pub fn upper_tail(x: f64, dof: Option<f64>) -> f64 {
    match student(dof) {
        Some(student) => student.sf(x),
        None => Normal::standard().sf(x),
    }
}

fn student(dof: Option<f64>) -> Option<StudentsT> {
    let dof = dof.filter(|dof| *dof >= 1.0 && *dof < DOF_NORMAL)?;
    StudentsT::new(0.0, 1.0, dof).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn critical_values_are_those_of_the_tables() {
        for (p, dof, expected) in [
            (0.95, None, 1.644_853_627),
            (0.975, None, 1.959_963_985),
            (0.95, Some(4.0), 2.131_846_786),
            (0.95, Some(1.0), 6.313_751_515),
        ] {
            assert!((critical(p, dof) - expected).abs() < 1e-6, "{p} {dof:?} {}", critical(p, dof));
            assert!((upper_tail(expected, dof) - (1.0 - p)).abs() < 1e-9);
        }
    }
}
