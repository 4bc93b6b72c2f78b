//! When a password becomes another one.

use std::time::Duration;

use jiff::Timestamp;

use crate::operator::crd::DatabaseUserStatus;

const DAY: i64 = 24 * 60 * 60;

/// Whether the time of a password is over.
pub(super) fn is_due(days: Option<i32>, updated: Option<Timestamp>, now: Timestamp) -> bool {
    match (days, updated) {
        (Some(days), Some(updated)) if days > 0 => {
            now.as_second() - updated.as_second() > i64::from(days) * DAY
        }
        _ => false,
    }
}

/// When the time of a user's password, or of the login before the present one, is over; none: no such time is set.
pub(super) fn again(
    days: Option<i32>,
    status: &DatabaseUserStatus,
    now: Timestamp,
) -> Option<Duration> {
    let updated = status.password_updated_at.as_ref();
    let due = days.zip(updated);
    let due = due.map(|(days, updated)| updated.0.as_second() + i64::from(days) * DAY);
    let until = status.former_login.as_ref();
    let until = until.map(|it| it.until.0.as_second());
    let first = due.into_iter().chain(until).min();
    first.map(|at| {
        // A second later it is over, and not only just.
        let left = (at - now.as_second()).max(0) + 1;
        Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX))
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::operator::crd::FormerLogin;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * DAY).unwrap()
    }

    /// operator.md, U13 and §5.5.
    #[test]
    fn a_password_is_rotated_when_its_days_are_over() {
        for (days, updated, now, due) in [
            (None, Some(0), 31, false),
            (Some(0), Some(0), 31, false),
            (Some(30), None, 31, false),
            (Some(30), Some(0), 31, true),
            (Some(30), Some(0), 10, false),
            (Some(30), Some(0), 30, false),
            (Some(30), Some(0), 0, false),
        ] {
            assert_eq!(
                is_due(days, updated.map(at), at(now)),
                due,
                "{days:?} {now}"
            );
        }
    }

    /// operator.md, U14: on time, whenever else it is looked at.
    #[test]
    fn a_user_is_looked_at_for_its_rotation() {
        let mut status = DatabaseUserStatus {
            password_updated_at: Some(Time(at(0))),
            ..DatabaseUserStatus::default()
        };
        assert_eq!(again(None, &status, at(1)), None);
        let left = |seconds: i64| Some(Duration::from_secs(seconds.unsigned_abs()));
        assert_eq!(again(Some(30), &status, at(10)), left(20 * DAY + 1));
        assert_eq!(again(Some(30), &status, at(31)), left(1));
        let soon = Timestamp::from_second(30 * DAY - 60).unwrap();
        assert_eq!(again(Some(30), &status, soon), left(61));
        status.former_login = Some(FormerLogin {
            name: "app".to_owned(),
            until: Time(soon + Duration::from_secs(5)),
        });
        assert_eq!(again(None, &status, soon), left(6));
        assert!(is_due(
            Some(30),
            Some(at(0)),
            soon + Duration::from_secs(61)
        ));
    }
}
