//! Spans of time, counted in buckets that grow by a quarter: a quantile is
//! right to within a tenth, whatever the scale, in a few hundred bytes.

use std::fmt;
use std::time::Duration;

/// From a microsecond to half a minute; what is longer is in the last bucket.
const BUCKETS: usize = 78;
const GROWTH: f64 = 1.25;

#[derive(Clone)]
pub struct Histogram {
    counts: Box<[u32; BUCKETS]>,
    total: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0, longest: Duration::ZERO }
    }
}

impl Histogram {
    pub fn record(&mut self, span: Duration) {
        let micros = (span.as_secs_f64() * 1e6).max(1.0);
        let bucket = (micros.log(GROWTH) as usize).min(BUCKETS - 1);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.total += 1;
        self.longest = self.longest.max(span);
    }

    pub fn record_some(&mut self, span: Option<Duration>) {
        if let Some(span) = span {
            self.record(span);
        }
    }

    /// The span that so many of all are not longer than, in ms.
    fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank {
                // The middle of the bucket, but nothing that was not there.
                let micros = GROWTH.powf(bucket as f64 + 0.5);
                return (micros / 1e3).min(self.longest_ms());
            }
        }
        self.longest_ms()
    }

    fn longest_ms(&self) -> f64 {
        self.longest.as_secs_f64() * 1e3
    }
}

/// How many, and the quantiles 0.5, 0.9, 0.99 and 1 in ms.
impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| self.quantile(share));
        write!(f, "{} {p50:.3} {p90:.3} {p99:.3} {:.3}", self.total, self.longest_ms())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_within_a_bucket() {
        let mut histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for (share, exact) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = histogram.quantile(share);
            assert!((found / exact - 1.0).abs() < 0.13, "{share}: {found}");
        }
        assert_eq!(histogram.to_string().split(' ').next(), Some("1000"));
        assert!(histogram.to_string().ends_with(" 1000.000"));
    }

    #[test]
    fn the_least_and_the_longest_have_a_place() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.to_string(), "0 0.000 0.000 0.000 0.000");
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(1_000_000));
        assert_eq!(histogram.total, 2);
        assert!(histogram.quantile(0.5) < 0.01);
    }
}
