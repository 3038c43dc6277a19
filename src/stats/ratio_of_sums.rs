//! The mean of something over something, when it comes in clusters.

/// One cluster (window, instance): what was measured, and over how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cluster {
    /// The sum: of values, of increments.
    pub y: f64,
    /// Over how many points, seconds or requests.
    pub m: f64,
}

/// A mean and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusterMean {
    /// Σy / Σm, in units of y per unit of m.
    pub mean: f64,
    /// The mean's variance, clusters taken into account.
    pub variance: f64,
    /// Clusters less one.
    pub dof: f64,
}

/// How uncertain is a mean over clusters?
///
/// R̂ = Σy_i/Σm_i; V = k/(k−1) · Σ(y_i − R̂·m_i)²/(Σm_i)²: the linearised ratio estimator (Cochran 1977, "Sampling
/// Techniques", 6.3). With equal m it is the variance of the mean of y/m. `clusters`: finite numbers, m not negative; at
/// least two with Σm > 0, else `None`. Deviations that are no more than rounding are none. Assumes independent clusters.
pub fn estimate(clusters: &[Cluster]) -> Option<ClusterMean> {
    let (y, m) = clusters.iter().fold((0.0, 0.0), |(y, m), cluster| (y + cluster.y, m + cluster.m));
    let k = clusters.len() as f64;
    if clusters.len() < 2 || m <= 0.0 {
        return None;
    }
    let mean = y / m;
    let deviation = |cluster: &Cluster| {
        let deviation = cluster.y - mean * cluster.m;
        if deviation.abs() <= 1e-12 * cluster.y.abs().max((mean * cluster.m).abs()) {
            0.0
        } else {
            deviation / m
        }
    };
    let squares: f64 = clusters.iter().map(|cluster| deviation(cluster).powi(2)).sum();
    Some(ClusterMean { mean, variance: k / (k - 1.0) * squares, dof: k - 1.0 })
}

/// Clusters below which their autocorrelation says nothing.
const LAGGED_MIN: usize = 5;
/// A series that drifts more than this is worth a ninth of its clusters, and no less.
const LAG_MOST: f64 = 0.8;

/// The same for clusters in order of time, of which neighbours may be alike.
///
/// n clusters with autocorrelation r at lag one are worth n·(1 − r)/(1 + r) independent ones, so V is divided and the
/// degrees of freedom multiplied by that. r is the sample's plus 1/n, which is about what it falls short of the true one,
/// between 0 and 0.8: neighbours that differ make nothing surer. Reference: Bayley & Hammersley 1946, Supplement to the
/// Journal of the Royal Statistical Society 8. Assumes that dependence fades geometrically. Below five clusters nothing
/// is known of r, and they are taken to be independent.
pub fn in_time(clusters: &[Cluster]) -> Option<ClusterMean> {
    let found = estimate(clusters)?;
    let deviations: Vec<f64> = clusters.iter().map(|cluster| cluster.y - found.mean * cluster.m).collect();
    let squares: f64 = deviations.iter().map(|d| d * d).sum();
    if clusters.len() < LAGGED_MIN || squares <= 0.0 || !squares.is_finite() {
        return Some(found);
    }
    let lagged: f64 = deviations.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let r = (lagged / squares + 1.0 / clusters.len() as f64).clamp(0.0, LAG_MOST);
    let worth = (1.0 - r) / (1.0 + r);
    Some(ClusterMean { variance: found.variance / worth, dof: (found.dof * worth).max(1.0), ..found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(f64, f64)]) -> Option<ClusterMean> {
        estimate(&pairs.iter().map(|(y, m)| Cluster { y: *y, m: *m }).collect::<Vec<_>>())
    }

    #[test]
    fn with_equal_clusters_it_is_the_variance_of_a_mean() {
        let found = of(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 1.0)]).unwrap();
        assert_eq!((found.mean, found.dof), (2.5, 3.0));
        // Sample variance 5/3, over four.
        assert!((found.variance - 5.0 / 12.0).abs() < 1e-12);
    }

    #[test]
    fn clusters_that_are_like_their_neighbours_are_worth_less_and_others_no_more() {
        let clusters = |levels: &[f64]| levels.iter().map(|y| Cluster { y: *y, m: 1.0 }).collect::<Vec<_>>();
        let drifting = clusters(&[1.0, 1.0, 1.0, 3.0, 3.0, 3.0]);
        // Deviations of one each: r = 3/6 + 1/6, so six are worth six fifths.
        let (alone, found) = (estimate(&drifting).unwrap(), in_time(&drifting).unwrap());
        assert!((found.variance / alone.variance - 5.0).abs() < 1e-9, "{found:?}");
        assert!((found.dof - 1.0).abs() < 1e-9);
        let alternating = clusters(&[1.0, 3.0, 1.0, 3.0, 1.0, 3.0]);
        assert_eq!(in_time(&alternating), estimate(&alternating));
        let few = clusters(&[1.0, 1.0, 3.0, 3.0]);
        assert_eq!(in_time(&few), estimate(&few));
    }

    #[test]
    fn a_constant_rate_over_unequal_clusters_has_no_variance() {
        let found = of(&[(0.1, 1.0), (0.3, 3.0), (0.7, 7.0)]).unwrap();
        assert_eq!(found.variance, 0.0);
        assert_eq!(of(&[(1.0, 1.0)]), None);
        assert_eq!(of(&[(1.0, 0.0), (2.0, 0.0)]), None);
    }
}
