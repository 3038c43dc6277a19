//! Was each promise kept, as far as so many runs can tell?

use statrs::distribution::{Binomial, DiscreteCDF};

/// The share of wrong answers that is promised.
const LEVEL: f64 = 0.05;
/// The probability that any kept promise is called broken.
const SURE: f64 = 0.01;

/// At most 5 % of the runs of a line are called `what`.
pub struct Promise {
    pub what: &'static str,
    pub line: String,
    pub wrong: usize,
    pub runs: usize,
}

impl Promise {
    /// How likely are so many wrong answers, if the promise is kept? One-sided binomial test.
    fn p(&self) -> f64 {
        let below = |wrong: usize| Binomial::new(LEVEL, self.runs as u64).unwrap().sf(wrong as u64);
        self.wrong.checked_sub(1).map_or(1.0, below)
    }

    fn percent(&self) -> f64 {
        100.0 * self.wrong as f64 / self.runs as f64
    }
}

/// Says which promises are broken, and whether all are kept: each by itself, and all lines of one kind together, which
/// sees what is a little too much everywhere. Each is tested at the level over their number (Bonferroni).
pub fn report(promises: &[Promise]) -> bool {
    let together = ["divergent", "at parity"].map(|what| {
        let lines = || promises.iter().filter(|promise| promise.what == what);
        let (wrong, runs) = (lines().map(|p| p.wrong).sum(), lines().map(|p| p.runs).sum());
        Promise { what, line: format!("all {} lines", lines().count()), wrong, runs }
    });
    let sure = SURE / (promises.len() + together.len()) as f64;
    println!("\n**Promises**: at most {:.0} % of the runs are falsely called so\n", LEVEL * 100.0);
    for Promise { what, line, wrong, runs } in &together {
        println!("- {what}, {line}: {wrong} of {runs} runs");
    }
    let broken: Vec<_> = promises.iter().chain(&together).filter(|promise| promise.p() < sure).collect();
    for promise in &broken {
        println!("- BROKEN: {} in {:.0} %: {}", promise.what, promise.percent(), promise.line);
    }
    let kept = promises.iter().filter(|promise| promise.p() >= sure).count();
    println!("- {kept} of {} promises are kept", promises.len());
    broken.is_empty()
}
