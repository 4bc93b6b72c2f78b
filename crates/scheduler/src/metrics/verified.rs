//! What a scrape shows of the restore drills of schedules.

use jiff::Timestamp;
use prometheus::{GaugeVec, Opts};

use super::number;
use crate::domain::verified::Verified;

/// What a scrape shows of each schedule that is verified.
const ALL: [(&str, &str); 4] = [
    (
        "postgres_adapter_schedule_last_verified_timestamp_seconds",
        "When a restore drill of the schedule has last passed, seconds since 1970.",
    ),
    (
        "postgres_adapter_schedule_last_verification_succeeded",
        "1 when the schedule's last restore drill has passed, 0 when it has failed.",
    ),
    (
        "postgres_adapter_schedule_verification_interval_seconds",
        "The longest time between two restore drills of the schedule.",
    ),
    (
        "postgres_adapter_schedule_verification_since_timestamp_seconds",
        "Since when the schedule is to be verified at its times, seconds since 1970.",
    ),
];

/// What [`ALL`] shows of one; none: it shows nothing of it.
fn values(verified: &Verified) -> [Option<f64>; ALL.len()] {
    let Verified {
        schedule: _,
        database: _,
        since,
        last,
        passed,
        interval,
    } = verified;
    let time = |it: Timestamp| number(it.as_second());
    [
        last.map(time),
        passed.map(|it| f64::from(u8::from(it))),
        interval.map(|it| number(it.as_secs())),
        Some(time(*since)),
    ]
}

/// All of them.
pub(super) fn gauges(all: &[Verified]) -> prometheus::Result<Vec<GaugeVec>> {
    let mut gauges = Vec::with_capacity(ALL.len());
    for (at, (name, help)) in ALL.into_iter().enumerate() {
        let gauge = GaugeVec::new(Opts::new(name, help), &["schedule", "database"])?;
        for verified in all {
            if let Some(value) = values(verified).get(at).copied().flatten() {
                let labels = [verified.schedule.as_str(), &verified.database];
                gauge.with_label_values(&labels).set(value);
            }
        }
        gauges.push(gauge);
    }
    Ok(gauges)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use prometheus::TextEncoder;
    use prometheus::core::Collector as _;

    use super::*;

    #[test]
    fn a_schedule_that_was_never_verified_says_since_when_it_is_to_be() {
        let never = Verified {
            schedule: "team/nightly".to_owned(),
            database: "db:5432/shop".to_owned(),
            since: Timestamp::from_second(60).unwrap(),
            last: None,
            passed: None,
            interval: Some(SignedDuration::from_secs(604_800)),
        };
        let shown = |it: &Verified| {
            let gauges = gauges(std::slice::from_ref(it)).unwrap();
            let found = gauges.iter().flat_map(GaugeVec::collect);
            let found: Vec<_> = found.filter(|it| !it.get_metric().is_empty()).collect();
            TextEncoder::new().encode_to_string(&found).unwrap()
        };
        let of = r#"{database="db:5432/shop",schedule="team/nightly"}"#;
        let text = shown(&never);
        for line in [
            format!("postgres_adapter_schedule_verification_since_timestamp_seconds{of} 60"),
            format!("postgres_adapter_schedule_verification_interval_seconds{of} 604800"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
        assert!(!text.contains("last_verif"), "{text}");
        let failed = Verified {
            last: Timestamp::from_second(120).ok(),
            passed: Some(false),
            ..never
        };
        let text = shown(&failed);
        for line in [
            format!("postgres_adapter_schedule_last_verified_timestamp_seconds{of} 120"),
            format!("postgres_adapter_schedule_last_verification_succeeded{of} 0"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
    }
}
