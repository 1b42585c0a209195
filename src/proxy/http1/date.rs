//! The `Date` of responses that the upstream sent without one.

use crate::time::Timestamp;
use httpdate::HttpDate;
use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
type Text = [u8; 29];

thread_local! {
    /// The last date that was written, and its second.
    static LAST: Cell<(u64, Text)> = const { Cell::new((0, *b"Thu, 01 Jan 1970 00:00:00 GMT")) };
}

/// The last second that has a date of this form.
const LAST_SECOND: u64 = 253_402_300_799;

/// The time as HTTP writes it, whole seconds. It stays at the end of the year 9999.
pub(crate) fn http_date(now: Timestamp) -> Text {
    let secs = now.as_secs().min(LAST_SECOND);
    let (last, text) = LAST.get();
    if last == secs {
        return text;
    }
    let mut text = text;
    // The text always has this length.
    let _ = write!(&mut text[..], "{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(secs)));
    LAST.set((secs, text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_date_u_writes_them() {
        for (secs, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            for _ in 0..2 {
                assert_eq!(std::str::from_utf8(&http_date(Timestamp::from_secs(secs))).unwrap(), text);
            }
        }
    }

    /// Walks four centuries with a calendar that only counts.
    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970, 0, 1);
        for days in 0..146_097 {
            let name = &"JanFebMarAprMayJunJulAugSepOctNovDec"[3 * month..][..3];
            let text = http_date(Timestamp::from_secs(days * 86_400));
            assert_eq!(std::str::from_utf8(&text[5..16]).unwrap(), format!("{day:02} {name} {year}"));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month];
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month == 12 {
                (month, year) = (0, year + 1);
            }
        }
    }
}
