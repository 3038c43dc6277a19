//! Two-sample Kolmogorov-Smirnov, on exact values and on bins.

use super::distribution::{Bin, Distribution, Ties};

/// The statistic and its bounds. With exact values all three forms of D are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KsStatistic {
    /// sup |F_B − F_C| over the edges that both sides share: what the bins show.
    pub d: f64,
    /// The least that D can be, whatever the placement inside the bins: equals `d`.
    pub d_low: f64,
    /// The most that D can be.
    pub d_high: f64,
    /// sup (F_B − F_C), large where the candidate is slower.
    pub d_greater: f64,
    /// sup (F_C − F_B), large where the candidate is faster.
    pub d_less: f64,
    /// Where `d` is reached, seconds.
    pub location_s: f64,
}

/// How far apart are two distributions, at the most?
///
/// D = sup |F_B − F_C|. Tied values step together. On bins both functions are known at the edges that no bin of
/// either side straddles; between two such edges e and e′ the gap is at most
/// max(F_B(e) + b − F_C(e), F_C(e) + c − F_B(e)), where b and c are the weights that may lie anywhere between them
/// (weight that is known to lie at e′ itself steps there).
///
/// `baseline`, `candidate`: seconds, any bins. Returns `None` when either is empty; values in [0, 1].
/// Accuracy: `d_low ≤ D ≤ d_high`. Ties make p-values from D conservative (Noether 1963).
/// Reference: Conover, "Practical Nonparametric Statistics", 3rd ed., 6.3; bounds derived above.
pub fn two_sample(baseline: &Distribution, candidate: &Distribution) -> Option<KsStatistic> {
    if baseline.is_empty() || candidate.is_empty() {
        return None;
    }
    let mut sides = (Side::new(baseline), Side::new(candidate));
    let mut best = KsStatistic {
        d: 0.0,
        d_low: 0.0,
        d_high: 0.0,
        d_greater: 0.0,
        d_less: 0.0,
        location_s: baseline.bins()[0].lower.max(0.0),
    };
    // Shares at the last shared edge, and what has come since.
    let (mut base, mut cand) = (0.0f64, 0.0f64);
    while !(sides.0.is_done() && sides.1.is_done()) {
        let edge = sides.0.next_edge().min(sides.1.next_edge());
        let (at_base, at_cand) = (sides.0.advance(edge), sides.1.advance(edge));
        if sides.0.straddles(edge) || sides.1.straddles(edge) {
            continue;
        }
        let (free_base, free_cand) = (sides.0.share() - at_base - base, sides.1.share() - at_cand - cand);
        let between = (base + free_base - cand).max(cand + free_cand - base);
        (base, cand) = (sides.0.share(), sides.1.share());
        best.d_high = best.d_high.max(between.max((base - cand).abs()));
        best.d_greater = best.d_greater.max(base - cand);
        best.d_less = best.d_less.max(cand - base);
        if (base - cand).abs() > best.d + 1e-12 {
            best.d = (base - cand).abs();
            best.location_s = edge;
        }
    }
    best.d_high = best.d_high.clamp(best.d, 1.0);
    best.d_low = best.d;
    Some(best)
}

/// The same of two sides that are beside each other already; `None` where their bins are not aligned.
pub fn of_ties(ties: &Ties) -> Option<KsStatistic> {
    let first = ties.groups.first().filter(|_| ties.aligned)?;
    let per = (1.0 / ties.baseline, 1.0 / ties.candidate);
    let mut best = KsStatistic {
        d: 0.0,
        d_low: 0.0,
        d_high: 0.0,
        d_greater: 0.0,
        d_less: 0.0,
        location_s: first.value.max(0.0),
    };
    let (mut passed_b, mut passed_c, mut gap) = (0.0, 0.0, 0.0);
    for group in &ties.groups {
        // Inside of a bin the one side's weight may all come before the other's.
        if group.value < group.edge {
            let inside = (gap + group.baseline * per.0).max(group.candidate * per.1 - gap);
            best.d_high = best.d_high.max(inside);
        }
        passed_b += group.baseline;
        passed_c += group.candidate;
        gap = passed_b * per.0 - passed_c * per.1;
        best.d_greater = best.d_greater.max(gap);
        best.d_less = best.d_less.max(-gap);
        if gap.abs() > best.d + 1e-12 {
            best.d = gap.abs();
            best.location_s = group.edge;
        }
    }
    best.d_high = best.d_high.clamp(best.d, 1.0);
    best.d_low = best.d;
    Some(best)
}

/// A walk over one side's bins.
struct Side<'a> {
    bins: &'a [Bin],
    total: f64,
    weight: f64,
    at: usize,
}

impl<'a> Side<'a> {
    fn new(distribution: &'a Distribution) -> Side<'a> {
        Side { bins: distribution.bins(), total: distribution.total(), weight: 0.0, at: 0 }
    }

    fn is_done(&self) -> bool {
        self.at == self.bins.len()
    }

    /// The next edge at which something can change, infinite at the end.
    fn next_edge(&self) -> f64 {
        self.bins.get(self.at).map_or(f64::INFINITY, |bin| bin.upper)
    }

    /// Takes in all bins that end at or before `edge`; returns the share that lies at `edge` exactly.
    fn advance(&mut self, edge: f64) -> f64 {
        let mut exactly = 0.0;
        while let Some(bin) = self.bins.get(self.at).filter(|bin| bin.upper <= edge) {
            self.weight += bin.count;
            if bin.lower == bin.upper {
                exactly += bin.count;
            }
            self.at += 1;
        }
        if exactly > 0.0 { exactly / self.total } else { 0.0 }
    }

    fn straddles(&self, edge: f64) -> bool {
        self.bins.get(self.at).is_some_and(|bin| bin.lower < edge && edge < bin.upper)
    }

    fn share(&self) -> f64 {
        self.weight / self.total
    }
}

/// How likely is a D of at least `d` between samples of `n` and `m` values from one continuous distribution?
///
/// One minus the share of lattice paths from (0, 0) to (n, m) that stay strictly inside |i/n − j/m| < d, counted as
/// probabilities. `n`, `m`: sample sizes, n·m ≤ 10,000 or so (time is 2·d·n·m). Returns a p-value in [0, 1], exact
/// without ties, conservative with them. Reference: Hodges 1958, "The significance probability of the Smirnov
/// two-sample test", Arkiv för Matematik 3.
pub fn p_exact(n: u64, m: u64, d: f64) -> f64 {
    let limit = d * (n * m) as f64 - 0.5;
    let gap = |i: u64, j: u64| (i * m) as f64 - (j * n) as f64;
    let mut row = vec![0.0f64; m as usize + 1];
    // What is inside is a band that moves along; beside it the paths have no weight.
    let mut first = 0;
    for i in 0..=n {
        while first <= m && gap(i, first) >= limit {
            row[first as usize] = 0.0;
            first += 1;
        }
        for j in (first..=m).take_while(|j| gap(i, *j) > -limit) {
            let total = (i + j) as f64;
            let from_left = if j > 0 { row[j as usize - 1] * j as f64 / total } else { 0.0 };
            let from_below = if i > 0 { row[j as usize] * i as f64 / total } else { 0.0 };
            let start = f64::from(u8::from(i + j == 0));
            row[j as usize] = start + from_left + from_below;
        }
    }
    (1.0 - row[m as usize]).clamp(0.0, 1.0)
}

/// The same for large samples: Kolmogorov's distribution at the effective size n·m/(n+m), rounded as SciPy does.
///
/// `n`, `m`: (effective) sample sizes; `d` in [0, 1]. Returns a p-value in [0, 1]. Up to 500 the finite-size
/// distribution is computed (Marsaglia, Tsang & Wang 2003, "Evaluating Kolmogorov's distribution", J. Stat. Software
/// 8/18); beyond, by Pelz & Good's expansion (1976, J. R. Stat. Soc. B 38), whose error is
/// under 1e-5 there.
pub fn p_asymptotic(n: f64, m: f64, d: f64) -> f64 {
    let size = (n * m / (n + m)).round().max(1.0);
    if d <= 0.0 || !size.is_finite() {
        return 1.0;
    }
    let z = size * d * d;
    let p = match () {
        () if d >= 1.0 => 0.0,
        // Both one-sided tails, which do not overlap so far out (Miller 1956).
        () if z > 12.0 => 2.0 * (-2.0 * z - 4.0 * z / (9.0 * size.sqrt() * size.sqrt())).exp(),
        () if size <= 500.0 => 1.0 - kolmogorov_finite(size as usize, d),
        () => 1.0 - pelz_good(size, d),
    };
    p.clamp(0.0, 1.0)
}

/// How far may the distribution function of a sample lie from the true one?
///
/// ε = √(ln(2/α)/(2n)): with probability 1 − α no point is further away (Dvoretzky, Kiefer & Wolfowitz 1956, with Massart's
/// constant 1990). `n` effective requests, positive; `alpha` in (0, 1). Returns ε, which is over 1 for very small n.
pub fn band_half_width(n: f64, alpha: f64) -> f64 {
    ((2.0 / alpha).ln() / (2.0 * n)).sqrt()
}

/// How likely is a one-sided difference of at least `d`?
///
/// p = exp(−2z² − 2z(m + 2n)/(3√(nm(n+m)))) with z = d√(nm/(n+m)), n the larger size. Returns a p-value in [0, 1].
/// Reference: Hodges 1958, equation 5.3.
pub fn p_one_sided(n: f64, m: f64, d: f64) -> f64 {
    let (large, small) = (n.max(m), n.min(m));
    if d <= 0.0 || small <= 0.0 {
        return 1.0;
    }
    let z = d * (large * small / (large + small)).sqrt();
    let correction = 2.0 * z * (large + 2.0 * small) / (3.0 * (large * small * (large + small)).sqrt());
    (-2.0 * z * z - correction).exp().clamp(0.0, 1.0)
}

/// P(D_n < d) by Marsaglia, Tsang & Wang: n!/nⁿ times the middle element of Hⁿ.
///
/// That element is a product of two vectors, H^⌊n/2⌋·e and H^⌈n/2⌉·e, one of them reversed, because H is symmetric about
/// its second diagonal; so H only has to be applied to a vector (Carvalho 2015, "An Improved Evaluation of Kolmogorov's
/// Distribution", J. Stat. Software 65, code snippet 3). `n` up to 500, where nothing overflows.
fn kolmogorov_finite(n: usize, d: f64) -> f64 {
    let k = (n as f64 * d).floor() as usize + 1;
    let h = Hessenberg::new(2 * k - 1, k as f64 - n as f64 * d);
    let mut vector = vec![0.0; 2 * k - 1];
    vector[k - 1] = 1.0;
    for _ in 0..n / 2 {
        vector = h.apply(&vector);
    }
    let reversed: Vec<f64> = vector.iter().rev().copied().collect();
    if n % 2 == 1 {
        vector = h.apply(&vector);
    }
    let middle: f64 = reversed.iter().zip(&vector).map(|(a, b)| a * b).sum();
    (1..=n).fold(middle, |value, i| value * (i as f64 / n as f64))
}

/// Marsaglia, Tsang & Wang's matrix: 1/(r − c + 1)! in row r and column c up to one past the diagonal, but for the first
/// column and the last row, which is the first column backwards.
struct Hessenberg {
    /// 1/i!
    inverse_factorials: Vec<f64>,
    column: Vec<f64>,
    corner: f64,
}

/// Elements so far under the diagonal are under 1e-23 and change nothing.
const BAND: usize = 24;

impl Hessenberg {
    fn new(size: usize, h: f64) -> Hessenberg {
        let factorials = (0..=size).scan(1.0, |factorial, i| {
            *factorial *= i.max(1) as f64;
            Some(1.0 / *factorial)
        });
        let inverse_factorials: Vec<f64> = factorials.collect();
        let power = |at: usize| h.powi(at as i32);
        let column = (1..=size).map(|at| (1.0 - power(at)) * inverse_factorials[at]).collect();
        let both = 1.0 - 2.0 * power(size) + (2.0 * h - 1.0).max(0.0).powi(size as i32);
        Hessenberg { corner: both * inverse_factorials[size], inverse_factorials, column }
    }

    fn apply(&self, vector: &[f64]) -> Vec<f64> {
        let last = vector.len() - 1;
        let dot = |a: &[f64], b: &[f64]| a.iter().rev().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let mut product: Vec<f64> = (0..last)
            .map(|row| {
                let from = (row + 1).saturating_sub(BAND).max(1);
                let inner = &vector[from..=row + 1];
                self.column[row] * vector[0] + dot(&self.inverse_factorials[..inner.len()], inner)
            })
            .collect();
        product.push(self.corner * vector[0] + dot(&self.column[..last], &vector[1..]));
        product
    }
}

/// P(D_n < d) by Pelz & Good's expansion in 1/√n.
fn pelz_good(n: f64, d: f64) -> f64 {
    use std::f64::consts::PI;
    let (root, z) = (n.sqrt(), d * n.sqrt());
    let (z2, z4, z6) = (z * z, z.powi(4), z.powi(6));
    let (pi2, pi4, pi6) = (PI.powi(2), PI.powi(4), PI.powi(6));
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    for k in 0..20 {
        let m = f64::from(k) + 0.5;
        let m2 = m * m;
        let e = (-m2 * pi2 / (2.0 * z2)).exp();
        k0 += e;
        k1 += (pi2 * m2 - z2) * e;
        k2 += (6.0 * z6 + 2.0 * z4 + pi2 * (2.0 * z4 - 5.0 * z2) * m2 + pi4 * (1.0 - 2.0 * z2) * m2 * m2) * e;
        k3 += (-30.0 * z6 - 90.0 * z6 * z2
            + pi2 * (135.0 * z4 - 96.0 * z6) * m2
            + pi4 * (212.0 * z4 - 60.0 * z2) * m2 * m2
            + pi6 * m2 * m2 * m2 * (5.0 - 30.0 * z2))
            * e;
    }
    let (mut k2_rest, mut k3_rest) = (0.0, 0.0);
    for k in 1..20 {
        let k2_ = f64::from(k * k);
        let e = (-k2_ * pi2 / (2.0 * z2)).exp();
        k2_rest += k2_ * e;
        k3_rest += (3.0 * pi2 * k2_ * z2 - pi4 * k2_ * k2_) * e;
    }
    let half = (PI / 2.0).sqrt();
    let tau = (2.0 * PI).sqrt();
    let k0 = k0 * tau / z;
    let k1 = k1 * half / (3.0 * z4);
    let k2 = k2 * half / (36.0 * z6 * z) - k2_rest * pi2 * half / (18.0 * z2 * z);
    let k3 = k3 * half / (3240.0 * z6 * z4) + k3_rest * half / (108.0 * z6);
    k0 + k1 / root + k2 / n + k3 / (n * root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_expansion_meets_the_finite_distribution_where_they_hand_over() {
        for d in [0.02, 0.035, 0.05, 0.07] {
            let (finite, expansion) = (kolmogorov_finite(500, d), pelz_good(500.0, d));
            assert!((finite - expansion).abs() < 1e-5, "{d}: {finite} {expansion}");
        }
    }

    #[test]
    fn the_far_tail_meets_the_finite_distribution() {
        for n in [100usize, 500] {
            let d = (11.9 / n as f64).sqrt();
            let (finite, tail) = (1.0 - kolmogorov_finite(n, d), 2.0 * (-2.0 * 11.9f64).exp());
            assert!((finite - tail).abs() < 1e-10, "{n}: {finite:e} {tail:e}");
        }
    }

    proptest! {
        #[test]
        fn aligned_sides_have_the_distance_that_the_walk_over_edges_finds(
            shape in prop::collection::vec((any::<bool>(), 0u8..4, 0u8..4), 1..60),
        ) {
            let side = |of: fn(&(bool, u8, u8)) -> u8| {
                let bin = |(at, group): (usize, &(bool, u8, u8))| {
                    let (upper, width) = (1.5 * (at + 1) as f64, if group.0 { 0.0 } else { 1.0 });
                    Bin { lower: upper - width, upper, count: f64::from(of(group)) }
                };
                Distribution::new(shape.iter().enumerate().map(bin).collect()).unwrap()
            };
            let (baseline, candidate) = (side(|group| group.1), side(|group| group.2));
            let Some(ties) = Ties::of(&baseline, &candidate) else { return Ok(()) };
            let (found, walked) = (of_ties(&ties).unwrap(), two_sample(&baseline, &candidate).unwrap());
            let gaps = [
                found.d - walked.d,
                found.d_high - walked.d_high,
                found.d_greater - walked.d_greater,
                found.d_less - walked.d_less,
            ];
            prop_assert!(gaps.iter().all(|gap| gap.abs() < 1e-12), "{found:?} {walked:?}");
        }
    }

    #[test]
    fn bins_that_straddle_each_other_are_not_aligned() {
        let bin = |lower, upper| Bin { lower, upper, count: 1.0 };
        let of = |bins: &[Bin]| Distribution::new(bins.to_vec()).unwrap();
        for (one, other, aligned) in [
            (bin(0.0, 1.0), bin(1.0, 2.0), true),
            (bin(0.0, 1.0), bin(0.0, 1.0), true),
            (bin(1.0, 1.0), bin(1.0, 2.0), true),
            (bin(2.0, 2.0), bin(1.0, 2.0), false),
            (bin(1.5, 1.5), bin(1.0, 2.0), false),
            (bin(0.0, 3.0), bin(1.0, 2.0), false),
            (bin(0.0, 3.0), bin(2.0, 5.0), false),
            (bin(0.0, f64::INFINITY), bin(1.0, 2.0), false),
        ] {
            for (baseline, candidate) in [(one, other), (other, one)] {
                let ties = Ties::of(&of(&[baseline]), &of(&[candidate])).unwrap();
                assert_eq!(of_ties(&ties).is_some(), aligned, "{baseline:?} {candidate:?}");
            }
        }
    }

    #[test]
    fn p_values_are_probabilities_at_the_edges() {
        for d in [0.0, 1e-12, 0.3, 1.0] {
            for p in [
                p_exact(3, 4, d),
                p_asymptotic(3.0, 4.0, d),
                p_one_sided(3.0, 4.0, d),
                p_asymptotic(1e9, 1e9, d),
            ] {
                assert!((0.0..=1.0).contains(&p), "{d} {p}");
            }
        }
        assert_eq!(p_one_sided(0.0, 5.0, 0.5), 1.0);
    }

    #[test]
    fn the_band_of_738_requests_is_a_twentieth_wide_on_each_side() {
        assert!((band_half_width(737.8, 0.05) - 0.05).abs() < 1e-5);
        assert!((band_half_width(4.0 * 737.8, 0.05) - 0.025).abs() < 1e-5);
    }
}
