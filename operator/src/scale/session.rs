//! Which session is open: hours by the clock of a place, its daylight saving included.

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use pinion_spec::scaling::{Day, Session};

/// The open session with the most workers.
///
/// A session whose zone or hours cannot be understood counts as open: too many workers do less harm than too few.
pub(super) fn open(sessions: &[Session], now: Timestamp) -> Option<&Session> {
    sessions.iter().filter(|session| is_open(session, now).unwrap_or(true)).max_by_key(|session| session.min_workers)
}

/// Whether the session is open. An hour that the clocks skip is the one after it; of one that they repeat it is the first.
fn is_open(session: &Session, now: Timestamp) -> Option<bool> {
    let zone = TimeZoneDatabase::bundled().get(&session.zone).ok()?;
    let (opens, closes) = (time(&session.open)?, time(&session.close)?);
    let today = now.to_zoned_datetime(zone.clone()).date();
    let opened_on = |day: Date| -> Option<bool> {
        let closing_day = if closes > opens { day } else { day.tomorrow().ok()? };
        let from = instant(day, opens, &zone)?;
        let to = instant(closing_day, closes, &zone)?;
        Some(session.days.iter().any(|of| weekday(*of) == day.weekday()) && from <= now && now < to)
    };
    // One that opened yesterday may run past midnight.
    Some(opened_on(today)? || opened_on(today.yesterday().ok()?)?)
}

fn instant(day: Date, time: Time, zone: &TimeZone) -> Option<Timestamp> {
    Some(day.to_datetime(time).to_zoned_datetime(zone.clone()).ok()?.timestamp())
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
}

const fn weekday(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(zone: &str, days: &[Day], open: &str, close: &str) -> Session {
        Session { zone: zone.into(), days: days.to_vec(), open: open.into(), close: close.into(), min_workers: 2 }
    }

    fn is_open_at(session: &Session, utc: &str) -> bool {
        open(std::slice::from_ref(session), utc.parse().unwrap()).is_some()
    }

    const WEEKDAYS: [Day; 5] = [Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri];

    #[test]
    fn new_york_opens_an_hour_earlier_in_utc_after_its_clocks_go_forward() {
        // They went forward on Sunday, 8 March 2026.
        let nyse = session("America/New_York", &WEEKDAYS, "09:30", "16:00");
        for (utc, expected) in [
            ("2026-03-06T14:29:59Z", false),
            ("2026-03-06T14:30:00Z", true),
            ("2026-03-06T20:59:59Z", true),
            ("2026-03-06T21:00:00Z", false),
            ("2026-03-07T15:00:00Z", false),
            ("2026-03-09T13:29:59Z", false),
            ("2026-03-09T13:30:00Z", true),
            ("2026-03-09T19:59:59Z", true),
            ("2026-03-09T20:00:00Z", false),
        ] {
            assert_eq!(is_open_at(&nyse, utc), expected, "{utc}");
        }
    }

    #[test]
    fn a_session_past_midnight_runs_on_into_a_day_that_is_not_listed() {
        let night = session("Asia/Tokyo", &[Day::Fri], "22:00", "05:00");
        assert!(is_open_at(&night, "2026-11-20T19:59:59Z"), "05:00 on Saturday is 20:00 UTC on Friday");
        assert!(!is_open_at(&night, "2026-11-20T20:00:00Z"));
        assert!(!is_open_at(&night, "2026-11-19T14:00:00Z"), "Thursday night");
    }

    #[test]
    fn an_hour_that_is_skipped_or_repeated_opens_once() {
        // Berlin skips 02:00 to 03:00 on 29 March 2026 and repeats it on 25 October.
        let sunday = session("Europe/Berlin", &[Day::Sun], "02:30", "04:00");
        assert!(!is_open_at(&sunday, "2026-03-29T01:29:59Z") && is_open_at(&sunday, "2026-03-29T01:30:00Z"));
        assert!(!is_open_at(&sunday, "2026-10-25T00:29:59Z") && is_open_at(&sunday, "2026-10-25T00:30:00Z"));
        assert!(is_open_at(&sunday, "2026-10-25T02:59:59Z") && !is_open_at(&sunday, "2026-10-25T03:00:00Z"));
    }

    #[test]
    fn a_night_over_the_change_is_an_hour_shorter_or_longer_and_the_next_one_is_as_ever() {
        // Sydney goes forward on 4 October 2026 at 02:00 and back on 5 April at 03:00.
        let night = session("Australia/Sydney", &[Day::Sat], "22:00", "06:00");
        for (noon, hours) in [("2026-10-03T02:00:00Z", 7), ("2026-04-04T01:00:00Z", 9), ("2026-10-10T01:00:00Z", 8)] {
            let noon: Timestamp = noon.parse().unwrap();
            let minute = |minute| noon + jiff::SignedDuration::from_mins(minute);
            let open_at = |at: &Timestamp| open(std::slice::from_ref(&night), *at).is_some();
            let minutes: Vec<Timestamp> = (0..24 * 60).map(minute).filter(open_at).collect();
            assert_eq!(minutes.len(), hours * 60, "{noon}");
            let unbroken = minutes.last().unwrap().duration_since(minutes[0]).as_mins();
            assert_eq!(usize::try_from(unbroken).unwrap() + 1, minutes.len(), "{noon}: it opens once");
        }
    }

    #[test]
    fn of_the_open_sessions_the_one_with_the_most_workers_counts() {
        let mut large = session("UTC", &WEEKDAYS, "12:00", "13:00");
        large.min_workers = 9;
        let sessions = [session("UTC", &WEEKDAYS, "00:00", "00:00"), large];
        let at = |utc: &str| open(&sessions, utc.parse().unwrap()).unwrap().min_workers;
        assert_eq!((at("2026-11-23T12:30:00Z"), at("2026-11-23T13:00:00Z")), (9, 2));
    }
}
