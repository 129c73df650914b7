//! When a pre-signed URL was signed: the only trace of time in a request.

use url::Url;

use crate::pool::model::time::Timestamp;

const SECS_PER_DAY: u64 = 86_400;
/// Days from the first of March of the year 0 to 1970-01-01.
const EPOCH: u64 = 719_468;

/// The moment in the query's `X-Amz-Date`, `YYYYMMDDTHHMMSSZ`. URLs of older signature schemes have none.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
pub(super) fn signed_at(url: &Url) -> Option<Timestamp> {
    let (_, stamp) = url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Date"))?;
    let (date, time) = stamp.strip_suffix('Z')?.split_once('T')?;
    if date.len() != 8 || time.len() != 6 {
        return None;
    }
    let [year, month, day] = [date.get(..4)?, date.get(4..6)?, date.get(6..)?].map(number);
    let [hour, minute, second] = [time.get(..2)?, time.get(2..4)?, time.get(4..)?].map(number);
    let (hour, minute, second) = (hour.filter(|h| *h < 24)?, minute.filter(|m| *m < 60)?, second.filter(|s| *s <= 60)?);
    let secs = days_since_epoch(year?, month?, day?)? * SECS_PER_DAY + hour * 3_600 + minute * 60 + second;
    Some(Timestamp::from_epoch_millis(secs * 1_000))
}

fn number(digits: &str) -> Option<u64> {
    digits.chars().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || !(1..=12).contains(&month) || day == 0 {
        return None;
    }
    // Counted in years that begin in March, so that a leap day ends its year; the month's formula is the usual one for
    // the lengths 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31.
    let (shifted_year, months_since_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_month = (153 * months_since_march + 2) / 5;
    let days_before_year = 365 * shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let days = days_before_year + days_before_month + day - 1;
    let month_ends = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_in_month = month_ends.into_iter().zip(1..).any(|(last, number)| number == month && day <= last);
    is_in_month.then(|| days.checked_sub(EPOCH))?
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(stamp: &str) -> Option<u64> {
        let url = format!("https://bucket.example/key?X-Amz-Expires=7200&X-Amz-Date={stamp}&X-Amz-Signature=PLANTED");
        signed_at(&Url::parse(&url).unwrap()).map(|moment| moment.epoch_millis() / 1_000)
    }

    #[test]
    fn the_moment_of_signing_is_read_from_the_query() {
        // By `date -u -d … +%s`.
        assert_eq!(secs("19700101T000000Z"), Some(0));
        assert_eq!(secs("20000229T235959Z"), Some(951_868_799));
        assert_eq!(secs("20261101T120000Z"), Some(1_793_534_400));
        assert_eq!(secs("21000301T000000Z"), Some(4_107_542_400));
    }

    #[test]
    fn what_is_no_date_is_no_moment() {
        for stamp in [
            "",
            "yesterday",
            "20261301T000000Z",
            "20260230T000000Z",
            "21000229T000000Z",
            "20260101T240000Z",
            "20260101T000000",
            "+0260101T000000Z",
            "19691231T235959Z",
        ] {
            assert_eq!(secs(stamp), None, "{stamp}");
        }
        assert_eq!(signed_at(&Url::parse("https://bucket.example/key?Expires=1&Signature=PLANTED").unwrap()), None);
    }
}
