//! HTTP dates: text to seconds and back (RFC 9110 section 5.6.7).
//!
//! All three formats are read, one is written. Reading is strict: every byte has to be what the
//! grammar says, capital letters included, and the day has to exist in the calendar. The name of
//! the weekday has to be one, but need not be the right one: it repeats what the rest says, and
//! clients are known to get it wrong.
//!
//! This module must not ask for the time; who needs "now" hands it over.

use core::fmt;

/// A moment in whole seconds since 1970-01-01 00:00:00 UTC, as `Date` and `Last-Modified` carry it.
///
/// HTTP dates have four digits for the year: values behind [`HttpDate::MAX`] are written as that.
///
/// ```
/// use capuchin_core::http::date::HttpDate;
///
/// let date = HttpDate::parse(b"Sun, 06 Nov 1994 08:49:37 GMT", 0).unwrap();
/// assert_eq!(date, HttpDate(784_111_777));
/// assert_eq!(&date.format(), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpDate(pub u64);

const SECONDS_PER_DAY: u64 = 86_400;
const FIRST_YEAR: u32 = 1970;
const LAST_YEAR: u32 = 9999;
/// A two-digit year means the past when it would be further ahead than this (RFC 9110 section 5.6.7).
const YEARS_AHEAD: u32 = 50;
/// Days in the 400 years after which the Gregorian calendar repeats.
const DAYS_PER_400_YEARS: u64 = 146_097;

const WEEKDAYS: [&[u8]; 7] = [
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
    b"Sunday",
];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

impl HttpDate {
    /// Bytes of a date as [`HttpDate::format`] writes it.
    pub const LENGTH: usize = 29;

    /// 9999-12-31 23:59:59, the last second that four digits of a year can tell.
    pub const MAX: Self = Self(days_before_year(LAST_YEAR + 1) * SECONDS_PER_DAY - 1);

    /// Reads any of the three formats: IMF-fixdate (`Sun, 06 Nov 1994 08:49:37 GMT`), RFC 850
    /// (`Sunday, 06-Nov-94 08:49:37 GMT`) and asctime (`Sun Nov  6 08:49:37 1994`).
    ///
    /// `None` for anything else, for days that do not exist, and for years outside 1970 to 9999.
    /// The two-digit year of RFC 850 is the latest one with these digits that is not more than 50
    /// years after `now` (seconds since 1970). The leap second 23:59:60 is the second after
    /// 23:59:59, that is, the next midnight.
    #[must_use]
    pub fn parse(text: &[u8], now: u64) -> Option<Self> {
        match Moment::parse(text, now)? {
            Moment::At(date) => Some(date),
            Moment::Before1970 => None,
        }
    }

    /// The date as IMF-fixdate, ready to send.
    #[must_use]
    pub const fn format(self) -> [u8; Self::LENGTH] {
        let seconds = if self.0 > Self::MAX.0 {
            Self::MAX.0
        } else {
            self.0
        };
        let civil = Civil::of(seconds);
        // 1970-01-01 was a Thursday: three days after a Monday.
        let weekday = WEEKDAYS[((seconds / SECONDS_PER_DAY + 3) % 7) as usize];

        let mut text = *b"Day, 00 Mon 0000 00:00:00 GMT";
        put(&mut text, 0, weekday.split_at(3).0);
        put_two_digits(&mut text, 5, civil.day);
        put(&mut text, 8, MONTHS[civil.month as usize - 1]);
        put_two_digits(&mut text, 12, civil.year / 100);
        put_two_digits(&mut text, 14, civil.year % 100);
        put_two_digits(&mut text, 17, civil.hour);
        put_two_digits(&mut text, 20, civil.minute);
        put_two_digits(&mut text, 23, civil.second);
        text
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.format()).unwrap_or_default())
    }
}

/// A valid date of any year, for comparisons with others: one before 1970 cannot be counted, but it
/// is earlier than all that can, and taking it for no date would drop the condition that it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    Before1970,
    At(HttpDate),
}

impl Moment {
    /// As [`HttpDate::parse`], for the years 0 to 9999.
    pub(crate) fn parse(text: &[u8], now: u64) -> Option<Self> {
        // The fourth byte tells the formats apart: a comma after three letters, a space, or a letter.
        match text.get(3)? {
            b',' => imf_fixdate(text),
            b' ' => asctime(text),
            _ => rfc850(text, now),
        }?
        .to_moment()
    }
}

/// A moment on calendar and clock. The order of the fields makes the derived order chronological.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Civil {
    year: u32,
    /// 1 to 12.
    month: u32,
    /// 1 to 31.
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
}

impl Civil {
    /// Splits seconds since 1970, up to [`HttpDate::MAX`].
    const fn of(seconds: u64) -> Self {
        let days = seconds / SECONDS_PER_DAY;
        let time = (seconds % SECONDS_PER_DAY) as u32;
        // The average length of a year gives the year, or one of its neighbours near its ends.
        let mut year = FIRST_YEAR + (days * 400 / DAYS_PER_400_YEARS) as u32;
        while days_before_year(year) > days {
            year -= 1;
        }
        while days_before_year(year + 1) <= days {
            year += 1;
        }
        let mut day = (days - days_before_year(year)) as u32;
        let mut month = 1;
        while day >= days_in_month(year, month) {
            day -= days_in_month(year, month);
            month += 1;
        }
        Self {
            year,
            month,
            day: day + 1,
            hour: time / 3600,
            minute: time / 60 % 60,
            second: time % 60,
        }
    }

    /// Checks calendar and clock, then counts.
    #[cfg_attr(target_os = "rtems", inline(never))]
    fn to_moment(self) -> Option<Moment> {
        let leap_second = self.hour == 23 && self.minute == 59 && self.second == 60;
        if self.year > LAST_YEAR
            || self.day == 0
            || self.day > days_in_month(self.year, self.month)
            || self.hour > 23
            || self.minute > 59
            || (self.second > 59 && !leap_second)
        {
            return None;
        }
        if self.year < FIRST_YEAR {
            return Some(Moment::Before1970);
        }
        let earlier_months: u32 = (1..self.month).map(|m| days_in_month(self.year, m)).sum();
        let days = days_before_year(self.year) + u64::from(earlier_months + self.day - 1);
        let time = self.hour * 3600 + self.minute * 60 + self.second;
        let date = HttpDate(days * SECONDS_PER_DAY + u64::from(time));
        (date <= HttpDate::MAX).then_some(Moment::At(date))
    }
}

/// Days from 1970-01-01 to the first of January of `year`.
const fn days_before_year(year: u32) -> u64 {
    const fn leap_days_before(year: u32) -> u32 {
        let past = year - 1;
        past / 4 - past / 100 + past / 400
    }
    let leap_days = leap_days_before(year) - leap_days_before(FIRST_YEAR);
    ((year - FIRST_YEAR) * 365 + leap_days) as u64
}

const fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
#[cfg_attr(target_os = "rtems", inline(never))]
fn imf_fixdate(text: &[u8]) -> Option<Civil> {
    let text: &[u8; 29] = text.try_into().ok()?;
    let spelled = is_short_weekday(&text[..3])
        && text[3..5] == *b", "
        && [text[7], text[11], text[16]] == [b' '; 3]
        && text[25..] == *b" GMT";
    if !spelled {
        return None;
    }
    let year = two_digits(&text[12..14])? * 100 + two_digits(&text[14..16])?;
    civil(
        year,
        month(&text[8..11])?,
        two_digits(&text[5..7])?,
        &text[17..25],
    )
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
#[cfg_attr(target_os = "rtems", inline(never))]
fn rfc850(text: &[u8], now: u64) -> Option<Civil> {
    let rest = WEEKDAYS.iter().find_map(|day| text.strip_prefix(*day))?;
    let rest: &[u8; 24] = rest.try_into().ok()?;
    let spelled = rest[..2] == *b", "
        && [rest[4], rest[8]] == [b'-'; 2]
        && rest[11] == b' '
        && rest[20..] == *b" GMT";
    if !spelled {
        return None;
    }
    let now = Civil::of(now.min(HttpDate::MAX.0));
    let digits = two_digits(&rest[9..11])?;
    let mut read = civil(
        now.year / 100 * 100 + 100 + digits,
        month(&rest[5..8])?,
        two_digits(&rest[2..4])?,
        &rest[12..20],
    )?;
    let horizon = Civil {
        year: now.year + YEARS_AHEAD,
        ..now
    };
    while read > horizon {
        read.year -= 100;
    }
    Some(read)
}

/// `Sun Nov  6 08:49:37 1994`
#[cfg_attr(target_os = "rtems", inline(never))]
fn asctime(text: &[u8]) -> Option<Civil> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let spelled =
        is_short_weekday(&text[..3]) && [text[3], text[7], text[10], text[19]] == [b' '; 4];
    if !spelled {
        return None;
    }
    let day = match text[8] {
        b' ' => two_digits(&[b'0', text[9]])?,
        _ => two_digits(&text[8..10])?,
    };
    let year = two_digits(&text[20..22])? * 100 + two_digits(&text[22..24])?;
    civil(year, month(&text[4..7])?, day, &text[11..19])
}

/// Puts a date and the `08:49:37` in `time` together.
#[cfg_attr(target_os = "rtems", inline(never))]
fn civil(year: u32, month: u32, day: u32, time: &[u8]) -> Option<Civil> {
    if [time[2], time[5]] != [b':'; 2] {
        return None;
    }
    Some(Civil {
        year,
        month,
        day,
        hour: two_digits(&time[..2])?,
        minute: two_digits(&time[3..5])?,
        second: two_digits(&time[6..8])?,
    })
}

fn is_short_weekday(name: &[u8]) -> bool {
    WEEKDAYS.iter().any(|day| day[..3] == *name)
}

fn month(name: &[u8]) -> Option<u32> {
    let at = MONTHS.iter().position(|month| month[..] == *name)?;
    Some(at as u32 + 1)
}

fn two_digits(text: &[u8]) -> Option<u32> {
    match *text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
        }
        _ => None,
    }
}

const fn put(text: &mut [u8; HttpDate::LENGTH], at: usize, bytes: &[u8]) {
    let mut n = 0;
    while n < bytes.len() {
        text[at + n] = bytes[n];
        n += 1;
    }
}

const fn put_two_digits(text: &mut [u8; HttpDate::LENGTH], at: usize, number: u32) {
    text[at] = b'0' + (number / 10) as u8;
    text[at + 1] = b'0' + (number % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    /// 2026-01-01 00:00:00.
    const NOW: u64 = 1_767_225_600;

    #[test]
    fn every_format_gives_the_same_moment() {
        let texts: [&[u8]; 4] = [
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
            b"Sun Nov 06 08:49:37 1994",
        ];
        for text in texts {
            assert_eq!(
                HttpDate::parse(text, NOW),
                Some(HttpDate(784_111_777)),
                "{}",
                text.escape_ascii()
            );
        }
    }

    #[test]
    fn known_moments_are_read_and_written() {
        let table: [(u64, &[u8; 29]); 9] = [
            (0, b"Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, b"Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, b"Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, b"Wed, 01 Mar 2000 00:00:00 GMT"),
            (2_147_483_648, b"Tue, 19 Jan 2038 03:14:08 GMT"),
            (4_107_542_400, b"Mon, 01 Mar 2100 00:00:00 GMT"),
            (4_294_967_296, b"Sun, 07 Feb 2106 06:28:16 GMT"),
            (NOW - 1, b"Wed, 31 Dec 2025 23:59:59 GMT"),
            (253_402_300_799, b"Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, text) in table {
            assert_eq!(HttpDate(seconds).format(), *text);
            assert_eq!(HttpDate::parse(text, NOW), Some(HttpDate(seconds)));
            assert_eq!(HttpDate(seconds).to_string().as_bytes(), text);
        }
        assert_eq!(HttpDate::MAX, HttpDate(253_402_300_799));
        assert_eq!(HttpDate(u64::MAX).format(), HttpDate::MAX.format());
    }

    #[test]
    fn what_is_no_date_is_refused() {
        let table: [&[u8]; 35] = [
            b"",
            b"Sun",
            b"Sun,",
            b"0",
            b"784111777",
            b"Sun, 06 Nov 1994 08:49:37",
            b"Sun, 06 Nov 1994 08:49:37 UTC",
            b"Sun, 06 Nov 1994 08:49:37 gmt",
            b"sun, 06 Nov 1994 08:49:37 GMT",
            b"Sun, 06 nov 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 08:49:37 GMT ",
            b" Sun, 06 Nov 1994 08:49:37 GMT",
            b"Sun,  6 Nov 1994 08:49:37 GMT",
            b"Sun, 6 Nov 1994 08:49:37 GMT",
            b"Sun, 06-Nov-1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 8:49:37 GMT",
            b"Sun, 06 Nov 1994 08.49.37 GMT",
            b"Sun, +6 Nov 1994 08:49:37 GMT",
            b"Sun, 00 Nov 1994 08:49:37 GMT",
            b"Sun, 31 Nov 1994 08:49:37 GMT",
            b"Wed, 29 Feb 1995 08:49:37 GMT",
            b"Mon, 29 Feb 2100 08:49:37 GMT",
            b"Sun, 06 Nov 1994 24:00:00 GMT",
            b"Sun, 06 Nov 1994 08:60:37 GMT",
            b"Sun, 06 Nov 1994 08:49:60 GMT",
            b"Sun, 06 Nov 1994 23:58:60 GMT",
            b"Sun, 06 Nov 1994 23:59:61 GMT",
            b"Wed, 31 Dec 1969 23:59:59 GMT",
            b"Fri, 31 Dec 9999 23:59:60 GMT",
            b"Sun, 06-Nov-94 08:49:37 GMT",
            b"Sunday, 06 Nov 94 08:49:37 GMT",
            b"Sunday, 31-Feb-94 08:49:37 GMT",
            b"Someday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994 GMT",
            b"Sun Nov 6 08:49:37 1994",
        ];
        for text in table {
            assert_eq!(HttpDate::parse(text, NOW), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn wrong_name_of_the_weekday_is_overlooked() {
        let right = HttpDate::parse(b"Sun, 06 Nov 1994 08:49:37 GMT", NOW);
        assert!(right.is_some());
        assert_eq!(
            HttpDate::parse(b"Mon, 06 Nov 1994 08:49:37 GMT", NOW),
            right
        );
        assert_eq!(
            HttpDate::parse(b"Friday, 06-Nov-94 08:49:37 GMT", NOW),
            right
        );
    }

    #[test]
    fn leap_second_is_the_next_midnight() {
        assert_eq!(
            HttpDate::parse(b"Sat, 31 Dec 2016 23:59:60 GMT", NOW),
            HttpDate::parse(b"Sun, 01 Jan 2017 00:00:00 GMT", NOW),
        );
    }

    #[test]
    fn two_digit_year_is_the_latest_within_fifty_years() {
        let seconds = |text: &[u8]| HttpDate::parse(text, 0).unwrap().0;
        /// Now, what is read, what is meant.
        type Row = (&'static [u8], &'static [u8], Option<&'static [u8]>);
        let table: [Row; 8] = [
            (
                b"Thu, 01 Jan 2026 00:00:00 GMT",
                b"Sunday, 06-Nov-94 08:49:37 GMT",
                Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
            ),
            (
                b"Thu, 01 Jan 2026 00:00:00 GMT",
                b"Sunday, 06-Nov-70 08:49:37 GMT",
                Some(b"Thu, 06 Nov 2070 08:49:37 GMT"),
            ),
            // Fifty years to the second are not more than fifty years.
            (
                b"Thu, 01 Jan 2026 00:00:00 GMT",
                b"Sunday, 01-Jan-76 00:00:00 GMT",
                Some(b"Wed, 01 Jan 2076 00:00:00 GMT"),
            ),
            (
                b"Thu, 01 Jan 2026 00:00:00 GMT",
                b"Sunday, 01-Jan-76 00:00:01 GMT",
                Some(b"Thu, 01 Jan 1976 00:00:01 GMT"),
            ),
            (
                b"Wed, 01 Jan 2090 00:00:00 GMT",
                b"Sunday, 01-Jan-10 00:00:00 GMT",
                Some(b"Wed, 01 Jan 2110 00:00:00 GMT"),
            ),
            // The day has to exist in the year that was meant: 2100 has no 29 February, 2000 has.
            (
                b"Wed, 01 Jan 2090 00:00:00 GMT",
                b"Sunday, 29-Feb-00 00:00:00 GMT",
                None,
            ),
            (
                b"Thu, 01 Jan 2026 00:00:00 GMT",
                b"Sunday, 29-Feb-00 00:00:00 GMT",
                Some(b"Tue, 29 Feb 2000 00:00:00 GMT"),
            ),
            // 1960 is before what can be told.
            (
                b"Sat, 01 Jan 2000 00:00:00 GMT",
                b"Sunday, 01-Jan-60 00:00:00 GMT",
                None,
            ),
        ];
        for (now, text, meant) in table {
            let read = HttpDate::parse(text, seconds(now)).map(|date| date.0);
            assert_eq!(read, meant.map(seconds), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn valid_date_before_1970_is_earlier_than_all_that_can_be_counted() {
        let valid: [&[u8]; 6] = [
            b"Wed, 31 Dec 1969 23:59:59 GMT",
            b"Wed, 31 Dec 1969 23:59:60 GMT",
            b"Thu, 29 Feb 1968 00:00:00 GMT",
            b"Sat, 01 Jan 0000 00:00:00 GMT",
            b"Mon Jan  1 00:00:00 1900",
            b"Sunday, 01-Jan-60 00:00:00 GMT",
        ];
        // 2000-01-01: 60 is 1960.
        let now = 946_684_800;
        for text in valid {
            let moment = Moment::parse(text, now);
            assert_eq!(moment, Some(Moment::Before1970), "{}", text.escape_ascii());
            assert!(moment < Moment::parse(b"Thu, 01 Jan 1970 00:00:00 GMT", now));
            assert_eq!(HttpDate::parse(text, now), None);
        }
        for text in [
            b"Wed, 32 Dec 1969 23:59:59 GMT",
            b"Fri, 29 Feb 1967 00:00:00 GMT",
            b"Wed, 31 Dec 1969 24:00:00 GMT",
        ] {
            assert_eq!(Moment::parse(text, now), None);
        }
    }

    #[test]
    fn clock_at_its_end_does_no_harm() {
        assert!(HttpDate::parse(b"Sunday, 06-Nov-94 08:49:37 GMT", u64::MAX).is_some());
    }

    #[test]
    fn every_day_of_the_calendar_survives_the_trip() {
        let mut expected = (FIRST_YEAR, 1, 1);
        for day in 0..days_before_year(LAST_YEAR + 1) {
            let civil = Civil::of(day * SECONDS_PER_DAY);
            assert_eq!((civil.year, civil.month, civil.day), expected);
            let date = HttpDate(day * SECONDS_PER_DAY);
            assert_eq!(civil.to_moment(), Some(Moment::At(date)));
            let (year, month, date) = expected;
            expected = if date < days_in_month(year, month) {
                (year, month, date + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
        }
        assert_eq!(expected, (LAST_YEAR + 1, 1, 1));
    }
}
