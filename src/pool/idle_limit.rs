//! How long before the server's limit we close an idle connection, so that a
//! request never meets the server's FIN.

use std::time::Duration;

use crate::connect::RoundTrip;

/// For a limit that the server announces. It counts from when it sent the
/// response, and a request has to be there before: that is one round trip. A
/// server that is busy looks at its timers before it looks at what has come,
/// so a longer limit, which is a matter of seconds on its side, gets more room.
pub fn hinted(announced: Duration, round_trip: Option<RoundTrip>) -> Duration {
    const MARGIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(1000));
    announced.saturating_sub(margin(announced, MARGIN, round_trip))
}

/// For a limit that was learned from the ages at which connections were
/// closed. It is known to the millisecond, and may be a short one.
pub fn learned(age: Duration, round_trip: Option<RoundTrip>) -> Duration {
    const MARGIN: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(1000));
    age.saturating_sub(margin(age, MARGIN, round_trip))
}

/// A tenth of the limit within bounds; on a long way two round trips and their
/// variance, if that is more.
fn margin(limit: Duration, bounds: (Duration, Duration), round_trip: Option<RoundTrip>) -> Duration {
    let floor = (limit / 10).clamp(bounds.0, bounds.1);
    round_trip.map_or(floor, |trip| floor.max(trip.smoothed * 2 + trip.variance * 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_margin_of_a_hint_is_a_tenth_within_its_bounds() {
        for (announced, expected) in
            [(0, 0), (50, 0), (1000, 900), (2000, 1800), (5000, 4500), (60_000, 59_000), (600_000, 599_000)]
        {
            assert_eq!(hinted(ms(announced), None), ms(expected), "{announced}");
        }
    }

    #[test]
    fn a_long_way_needs_more() {
        let near =
            Some(RoundTrip { smoothed: Duration::from_micros(80), variance: Duration::from_micros(40) });
        assert_eq!(hinted(ms(5000), near), ms(4500));
        assert_eq!(learned(ms(100), near), ms(90));
        let far = Some(RoundTrip { smoothed: ms(300), variance: ms(50) });
        assert_eq!(hinted(ms(5000), far), ms(4200));
        assert_eq!(hinted(ms(500), far), ms(0));
        assert_eq!(learned(ms(1000), far), ms(200));
    }

    #[test]
    fn a_learned_limit_may_be_short() {
        assert_eq!(learned(ms(100), None), ms(90));
        assert_eq!(learned(ms(30), None), ms(25));
    }
}
