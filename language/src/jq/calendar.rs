//! Days and dates of the calendar that jq's library counts in: Gregorian, without an end in both directions, in utc.

/// Days before each month of a year, and before the next year.
const DAYS_BEFORE: [[i64; 13]; 2] = [
    [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365],
    [0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335, 366],
];

const SECONDS_PER_DAY: i64 = 86_400;

const DAYS_PER_CYCLE: i64 = 146_097;

/// A point in time, taken apart. Fields may be out of their range where somebody made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moment {
    pub(super) year: i64,
    /// From 0.
    pub(super) month: i64,
    /// From 1.
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    /// From 0, which is Sunday.
    pub(super) weekday: i64,
    /// From 0.
    pub(super) day_of_year: i64,
}

fn days_before(year: i64) -> &'static [i64; 13] {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    &DAYS_BEFORE[usize::from(is_leap)]
}

/// How many days a year has.
pub(super) fn days_of(year: i64) -> i64 {
    days_before(year)[12]
}

/// Days of a year before a month, counted from 0; the month may be any.
fn days_before_month(year: i64, month: i64) -> i64 {
    usize::try_from(month).ok().and_then(|month| days_before(year).get(month)).copied().unwrap_or(0)
}

/// Days from 1970 on to the first day of a year.
fn days_to_year(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 477
}

impl Moment {
    /// The moment so many seconds after 1970 began; none where the year is too large to count.
    pub(super) fn at(seconds: i64) -> Option<Self> {
        let (days, rest) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
        // What follows repeats every 400 years.
        let (cycles, in_cycle) = (days.div_euclid(DAYS_PER_CYCLE), days.rem_euclid(DAYS_PER_CYCLE));
        let mut in_years = in_cycle / 366;
        while in_cycle >= days_to_year(1970 + in_years + 1) {
            in_years += 1;
        }
        let year = 1970 + cycles * 400 + in_years;
        i32::try_from(year).ok()?;
        let day_of_year = days - days_to_year(year);
        let month = days_before(year).iter().rposition(|before| *before <= day_of_year)? as i64;
        Some(Self {
            year,
            month,
            day: day_of_year - days_before_month(year, month) + 1,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            day_of_year,
        })
    }

    /// Seconds from 1970 on; fields out of their range count on into the next one.
    pub(super) fn seconds(&self) -> i64 {
        let year = self.year + self.month.div_euclid(12);
        let days = days_to_year(year) + days_before_month(year, self.month.rem_euclid(12)) + self.day - 1;
        days * SECONDS_PER_DAY + self.hour * 3600 + self.minute * 60 + self.second
    }

    /// Which day of the week its date is.
    pub(super) fn weekday_of_date(&self) -> i64 {
        let days = days_to_year(self.year) + days_before_month(self.year, self.month) + self.day - 1;
        (days + 4).rem_euclid(7)
    }

    /// Which day of the year its date is.
    pub(super) fn day_of_year_of_date(&self) -> i64 {
        days_before_month(self.year, self.month) + self.day - 1
    }

    /// Sets month and day to those of its day of the year, where they are not known.
    pub(super) fn set_date_by_day_of_year(&mut self, has_month: bool, has_day: bool) {
        let month = days_before(self.year).iter().rposition(|before| *before <= self.day_of_year);
        let month = month.map_or(0, |month| month.min(11) as i64);
        if !has_month {
            self.month = month;
        }
        if !has_day {
            self.day = self.day_of_year - days_before_month(self.year, month) + 1;
        }
    }

    /// The year and the number of the week that ISO 8601 counts its day of the year to.
    pub(super) fn iso_week(&self) -> (i64, i64) {
        // Weeks begin on Monday, and the first one of a year holds its first Thursday.
        let days = |day_of_year: i64| day_of_year - (day_of_year - self.weekday + 4 + 378) % 7 + 3;
        let (mut year, mut in_week) = (self.year, days(self.day_of_year));
        if in_week < 0 {
            year -= 1;
            in_week = days(self.day_of_year + days_of(year));
        } else {
            let in_next = days(self.day_of_year - days_of(year));
            if in_next >= 0 {
                year += 1;
                in_week = in_next;
            }
        }
        (year, in_week / 7 + 1)
    }
}
