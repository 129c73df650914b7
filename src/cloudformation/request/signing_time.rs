//! When a pre-signed URL was signed: the only time in a request.

use url::Url;

use crate::pool::model::time::Timestamp;

/// The time in the query's `X-Amz-Date`, `YYYYMMDDTHHMMSSZ`. URLs of older signature schemes have none.
///
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>
pub(super) fn signed_at(url: &Url) -> Option<Timestamp> {
    let (_, stamp) = url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("X-Amz-Date"))?;
    let [year, month, day] = [stamp.get(..4)?, stamp.get(4..6)?, stamp.get(6..8)?];
    let [hour, minute, rest] = [stamp.get(9..11)?, stamp.get(11..13)?, stamp.get(13..)?];
    let is_basic_form = stamp.get(8..9)? == "T";
    is_basic_form.then(|| Timestamp::parse_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{rest}")))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(stamp: &str) -> Option<u64> {
        let url = format!("https://bucket.example/key?X-Amz-Expires=7200&X-Amz-Date={stamp}&X-Amz-Signature=PLANTED");
        signed_at(&Url::parse(&url).unwrap()).map(|time| time.epoch_millis() / 1_000)
    }

    #[test]
    fn x_amz_date_is_parsed() {
        // By `date -u -d … +%s`.
        assert_eq!(secs("19700101T000000Z"), Some(0));
        assert_eq!(secs("20000229T235959Z"), Some(951_868_799));
        assert_eq!(secs("20261101T120000Z"), Some(1_793_534_400));
        assert_eq!(secs("21000301T000000Z"), Some(4_107_542_400));
    }

    #[test]
    fn invalid_x_amz_date_is_none() {
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
