//! The `Date` of responses that came without one.

use crate::time::Timestamp;
use std::cell::Cell;

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
type Text = [u8; 29];

thread_local! {
    /// The last one written, and its second.
    static LAST: Cell<(u64, Text)> = const { Cell::new((0, *b"Thu, 01 Jan 1970 00:00:00 GMT")) };
}

/// The time as HTTP writes it, whole seconds. Years beyond 9999 are written as they fit.
pub(super) fn http_date(now: Timestamp) -> Text {
    let (last, text) = LAST.get();
    if last == now.as_secs() {
        return text;
    }
    let text = write(now.as_secs());
    LAST.set((now.as_secs(), text));
    text
}

fn write(secs: u64) -> Text {
    const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
    const MONTHS: [&[u8; 3]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let (days, time) = (secs / 86400, secs % 86400);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    text[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    two(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month]);
    two(&mut text[12..14], year / 100);
    two(&mut text[14..16], year);
    two(&mut text[17..19], time / 3600);
    two(&mut text[20..22], time / 60 % 60);
    two(&mut text[23..25], time % 60);
    text
}

fn two(text: &mut [u8], number: u64) {
    text.copy_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// Year, month from 0 and day from 1 of a day since the epoch. Years begin in March here, so that the leap day is
/// their last.
fn civil(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = (march_based + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(march_based >= 10);
    (year, month as usize, day)
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
            assert_eq!(civil(days), (year, month, day));
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
