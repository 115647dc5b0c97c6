//! Times in conditions. RFC 3339 in UTC, whole seconds, as Kubernetes writes them.

/// Seconds since 1970 of `2026-11-24T05:46:50Z`; `None` for any other form.
#[must_use]
pub fn seconds(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":"), (19, "Z")];
    if text.len() != 20 || marks.iter().any(|(at, mark)| text.get(*at..at + 1) != Some(mark)) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// `seconds` since 1970 as RFC 3339.
#[must_use]
pub fn text(seconds: i64) -> String {
    let (day, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, date) = civil(day);
    format!("{year:04}-{month:02}-{date:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, counting years from March so that the leap
/// day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + carry, month, date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_written() {
        for (t, s) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-24T05:46:50Z", 1_795_499_210),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
        ] {
            assert_eq!(seconds(t), Some(s), "{t}");
            assert_eq!(text(s), t);
        }
        // A leap second is read, and written as what it is in a count without them.
        assert_eq!(seconds("2016-12-31T23:59:60Z"), Some(1_483_228_800));
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24T05:46:50+00:00",
            "2026-13-24T05:46:50Z",
            "2026-11-24 05:46:50Z",
            "2026-11-24T05:46:50.0Z",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        for (date, time) in [
            ("2026-00-24", "05:46:50"),
            ("2026-11-00", "05:46:50"),
            ("2026-11-32", "05:46:50"),
            ("2026-11-24", "24:46:50"),
            ("2026-11-24", "05:60:50"),
            ("2026-11-24", "05:46:61"),
        ] {
            assert_eq!(seconds(&format!("{date}T{time}Z")), None, "{date} {time}");
        }
    }
}
