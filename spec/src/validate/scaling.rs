//! How the bounds and hours of scaling must fit each other.

use std::collections::BTreeSet;

use jiff::tz::TimeZoneDatabase;

use super::at::At;
use crate::error::{SpecError, quoted};

pub(super) fn validate(spec: &At<'_>, errors: &mut Vec<SpecError>) {
    let Some(scaling) = spec.field("scaling") else {
        return;
    };
    let max = scaling.read::<u32>("maxWorkers").or(crate::scaling::Scaling::default().max_workers);
    if let (Some(min), Some(max)) = (scaling.read::<u32>("minWorkers").value(), max)
        && min > max
    {
        let problem = format!("{min} is more than maxWorkers, {max}");
        errors.push(scaling.error_in("minWorkers", problem, "lower it, or raise maxWorkers"));
    }
    for session in scaling.items("sessions") {
        if let (Some(min), Some(max)) = (session.read::<u32>("minWorkers").value(), max)
            && min > max
        {
            let problem = format!("{min} is more than maxWorkers, {max}");
            errors.push(session.error_in("minWorkers", problem, "lower it, or raise maxWorkers"));
        }
        // The database that is compiled in, so that no machine reads a file differently from another.
        if let Some(zone) = session.read::<String>("zone").value()
            && TimeZoneDatabase::bundled().get(&zone).is_err()
        {
            let problem = format!("no time zone {}", quoted(&zone));
            errors.push(session.error_in("zone", problem, "an IANA name such as America/New_York"));
        }
        let mut seen = BTreeSet::new();
        for day in session.items("days") {
            if let Some(name) = day.here::<String>().value()
                && !seen.insert(name.clone())
            {
                errors.push(day.error(format!("{name} is listed twice"), "list it once"));
            }
        }
    }
}
