//! Requests of one instance are alike: what that costs in evidence.

/// One cluster (instance, or window): requests, and those at or under a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterCount {
    /// Requests.
    pub n: f64,
    /// Requests at or under the threshold.
    pub at_or_under: f64,
}

/// What clustering does to a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DesignEffect {
    /// The share at or under the threshold.
    pub f: f64,
    /// Its variance, clusters taken into account.
    pub variance: f64,
    /// Variance over that of independent requests, at least 1.
    pub deff: f64,
    /// Requests over `deff`: what they are worth.
    pub n_eff: f64,
    /// Clusters less one.
    pub dof: f64,
}

/// How uncertain is a share when requests come in clusters?
///
/// F̂ = Σx_i/Σn_i; V = k/(k−1) · Σ(x_i − n_i·F̂)²/(Σn_i)² (the linearised ratio estimator: Cochran 1977, "Sampling
/// Techniques", 6.3; Deng, Knoblich & Lu 2018, KDD); DEFF = max(1, V/(F̂(1−F̂)/n)); n_eff = n/DEFF.
///
/// `clusters`: at least two with requests, else `None`. Where F̂ is 0 or 1 there is no variance to compare and
/// DEFF = 1. Assumes independent clusters.
pub fn estimate(clusters: &[ClusterCount]) -> Option<DesignEffect> {
    let used: Vec<_> = clusters.iter().filter(|cluster| cluster.n > 0.0).collect();
    let k = used.len() as f64;
    if used.len() < 2 {
        return None;
    }
    let n: f64 = used.iter().map(|cluster| cluster.n).sum();
    let f = used.iter().map(|cluster| cluster.at_or_under).sum::<f64>() / n;
    let squares: f64 = used.iter().map(|cluster| (cluster.at_or_under - cluster.n * f).powi(2)).sum();
    let variance = k / (k - 1.0) * squares / (n * n);
    let independent = f * (1.0 - f) / n;
    let deff = if independent > 0.0 { (variance / independent).max(1.0) } else { 1.0 };
    Some(DesignEffect { f, variance, deff, n_eff: n / deff, dof: k - 1.0 })
}

/// How far do instances differ beyond chance?
///
/// σ² = max(0, k·(V − F̂(1−F̂)/n)): the part of the variance that does not shrink with more requests. Method of
/// moments on [`estimate`].
pub fn between_variance(effect: &DesignEffect, n: f64) -> f64 {
    let k = effect.dof + 1.0;
    (k * (effect.variance - effect.f * (1.0 - effect.f) / n)).max(0.0)
}

/// What are `n` requests of `k` instances worth, when the variance between instances is known from elsewhere?
///
/// V = F(1−F)/n + σ²/k; n_eff = F(1−F)/V. `f` in (0, 1), `n` and `k` positive. Returns at most `n`; `n` itself where
/// F is 0 or 1.
pub fn borrowed_n_eff(f: f64, n: f64, k: f64, between: f64) -> f64 {
    let spread = f * (1.0 - f);
    if spread <= 0.0 {
        return n;
    }
    (spread / (spread / n + between / k)).min(n)
}

/// How many degrees of freedom has a difference of two estimates whose variances are themselves estimated?
///
/// ν = (V_B + V_C)²/(V_B²/ν_B + V_C²/ν_C) (Satterthwaite 1946; Welch 1947). `sides`: variance in any common unit, and
/// its degrees of freedom, `None` where the variance is known. Returns `None` where both are known; between the lesser ν
/// and ν_B + ν_C otherwise. Assumes independent sides.
pub fn satterthwaite(sides: [(f64, Option<f64>); 2]) -> Option<f64> {
    let total: f64 = sides.iter().map(|(variance, _)| variance).sum();
    let share = |variance: f64| if total > 0.0 { variance / total } else { 0.5 };
    let inverse: f64 = sides.iter().filter_map(|(v, dof)| Some(share(*v).powi(2) / (*dof)?)).sum();
    (inverse > 0.0).then(|| 1.0 / inverse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_variances_add_their_degrees_of_freedom_and_a_dominant_one_keeps_its_own() {
        assert_eq!(satterthwaite([(1.0, Some(4.0)), (1.0, Some(4.0))]), Some(8.0));
        assert!((satterthwaite([(1e-9, Some(4.0)), (1.0, Some(3.0))]).unwrap() - 3.0).abs() < 1e-6);
        assert_eq!(satterthwaite([(1.0, None), (1.0, Some(4.0))]), Some(16.0));
        assert_eq!(satterthwaite([(1.0, None), (1.0, None)]), None);
        assert_eq!(satterthwaite([(0.0, Some(4.0)), (0.0, Some(4.0))]), Some(8.0));
    }

    #[test]
    fn variance_between_instances_is_what_more_requests_do_not_remove() {
        let clusters = |n: f64| [0.4, 0.5, 0.6].map(|p| ClusterCount { n, at_or_under: n * p });
        for n in [1e3, 1e6] {
            let effect = estimate(&clusters(n)).unwrap();
            assert!((between_variance(&effect, 3.0 * n) - 0.01).abs() < 1e-3);
        }
        assert!(borrowed_n_eff(0.5, 1e9, 1.0, 0.01) < 26.0);
        assert_eq!(borrowed_n_eff(0.5, 100.0, 1.0, 0.0), 100.0);
    }
}
