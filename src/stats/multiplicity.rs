//! Many series, few false alarms.

/// p-values adjusted so that among those at or under α at most the share α is false, in expectation.
///
/// p̃_(i) = min over j ≥ i of min(1, m·p_(j)/j). `p`: one p-value per hypothesis, any order; the result keeps it.
/// Assumes independence or positive dependence. Reference: Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    step_up(p, 1.0)
}

/// The same under any dependence: multiplied by Σ 1/i. Reference: Benjamini & Yekutieli 2001, Ann. Stat. 29.
pub fn benjamini_yekutieli(p: &[f64]) -> Vec<f64> {
    step_up(p, (1..=p.len()).map(|i| 1.0 / i as f64).sum())
}

/// p-values adjusted so that any false alarm at all has at most the probability α, under any dependence.
///
/// p̃_(i) = max over j ≤ i of min(1, (m − j + 1)·p_(j)). Reference: Holm 1979, Scand. J. Stat. 6.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = rising(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut greatest = 0.0f64;
    for (rank, at) in order.into_iter().enumerate() {
        greatest = greatest.max(((p.len() - rank) as f64 * p[at]).min(1.0));
        adjusted[at] = greatest;
    }
    adjusted
}

/// Which hypotheses do their e-values reject, with at most the share α of false ones under any dependence?
///
/// The k* largest, k* the largest k with e_(k) ≥ m/(α·k). Returns indices, largest e first. Reference: Wang & Ramdas
/// 2022, J. R. Stat. Soc. B 84.
pub fn e_bh(e: &[f64], alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..e.len()).collect();
    order.sort_by(|a, b| e[*b].total_cmp(&e[*a]).then(a.cmp(b)));
    let enough = |k: usize| e[order[k - 1]] >= e.len() as f64 / (alpha * k as f64);
    let kept = (1..=e.len()).rev().find(|k| enough(*k)).unwrap_or(0);
    order.truncate(kept);
    order
}

fn step_up(p: &[f64], factor: f64) -> Vec<f64> {
    let order = rising(p);
    let mut adjusted = vec![0.0; p.len()];
    let mut least = 1.0f64;
    for (rank, at) in order.into_iter().enumerate().rev() {
        least = least.min(p.len() as f64 * factor * p[at] / (rank + 1) as f64);
        adjusted[at] = least;
    }
    adjusted
}

fn rising(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}
