//! What a series of measurements says. Pure.

/// A series in one unit: its middle, and what all but the worst hundredth stay below.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) p50: f64,
    /// The 99th percentile; with fewer than a hundred samples that is the worst.
    pub(crate) p99: f64,
    /// How many samples.
    pub(crate) samples: usize,
}

impl Spread {
    /// Of a series; `None` if it is empty. Nearest rank: every number was really measured.
    pub(crate) fn of(mut series: Vec<f64>) -> Option<Self> {
        series.sort_by(f64::total_cmp);
        Some(Self {
            p50: *series.get(rank(series.len(), 50)?)?,
            p99: *series.get(rank(series.len(), 99)?)?,
            samples: series.len(),
        })
    }
}

/// The place of a percentile among so many sorted samples, from 0.
fn rank(samples: usize, percent: usize) -> Option<usize> {
    (samples * percent).div_ceil(100).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let hundred = Spread::of((1..=100).rev().map(f64::from).collect()).unwrap();
        assert_eq!(
            (hundred.p50, hundred.p99, hundred.samples),
            (50.0, 99.0, 100)
        );
        let three = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((three.p50, three.p99), (2.0, 3.0));
        let one = Spread::of(vec![7.0]).unwrap();
        assert_eq!((one.p50, one.p99), (7.0, 7.0));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
