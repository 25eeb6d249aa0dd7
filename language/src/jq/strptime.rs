//! Dates from text: what `strptime` of the C library reads, in English.

use super::calendar::Moment;
use super::strftime::{MONTHS, WEEKDAYS, shortened, shown};

/// What a date is worked out from, beside the fields of the moment itself.
#[derive(Default)]
struct Read {
    /// Whether the hour is one of twelve.
    has_hour_of_12: bool,
    is_afternoon: bool,
    has_weekday: bool,
    has_month: bool,
    has_day: bool,
    has_day_of_year: bool,
    /// Whether the days of week and year are to be worked out.
    wants_days: bool,
    century: Option<i64>,
    /// Whether the year has two digits, so that it wants a century.
    wants_century: bool,
}

struct Parser<'t> {
    text: &'t [u8],
    moment: Moment,
    read: Read,
}

/// Why text could not be read.
pub(super) enum Stop {
    /// The text is otherwise than the format says.
    Differs,
    /// What the format says is not there.
    Refused(String),
}

/// Reads text in a format: the moment, and what white space follows.
pub(super) fn parsed<'t>(text: &'t [u8], format: &[u8]) -> Result<(Moment, &'t [u8]), Stop> {
    if text.contains(&0) || format.contains(&0) {
        let message = "jq reads text up to a nul character, eventlift has not what it reads";
        return Err(Stop::Refused(message.to_owned()));
    }
    // Days that can't be, which stay where neither is worked out.
    let moment = Moment { year: 1900, weekday: 8, day_of_year: 367, ..Moment::default() };
    let mut parser = Parser { text, moment, read: Read::default() };
    parser.format(format)?;
    if !parser.text.first().is_none_or(is_space) {
        return Err(Stop::Differs);
    }
    parser.complete();
    Ok((parser.moment, parser.text))
}

fn is_space(byte: &u8) -> bool {
    byte.is_ascii_whitespace() || *byte == 0x0B
}

impl Parser<'_> {
    fn skip_spaces(&mut self) {
        let spaces = self.text.iter().take_while(|byte| is_space(byte)).count();
        self.text = &self.text[spaces..];
    }

    fn format(&mut self, format: &[u8]) -> Result<(), Stop> {
        let mut rest = format.iter();
        while let Some(byte) = rest.next() {
            if is_space(byte) {
                self.skip_spaces();
                continue;
            }
            if *byte != b'%' {
                self.literal(*byte)?;
                continue;
            }
            let letter = rest.find(|byte| !matches!(byte, b'-' | b'_' | b'0' | b'^' | b'#'));
            self.conversion(*letter.ok_or(Stop::Differs)?)?;
        }
        Ok(())
    }

    fn literal(&mut self, byte: u8) -> Result<(), Stop> {
        self.text = self.text.strip_prefix(&[byte]).ok_or(Stop::Differs)?;
        Ok(())
    }

    /// A number of so many digits at most, as long as it stays within its bounds.
    fn number(&mut self, from: i64, upto: i64, digits: usize) -> Result<i64, Stop> {
        self.skip_spaces();
        let mut number = 0;
        let mut count = 0;
        while let Some(digit @ b'0'..=b'9') = self.text.get(count) {
            if count == digits || count > 0 && number * 10 > upto {
                break;
            }
            number = number * 10 + i64::from(digit - b'0');
            count += 1;
        }
        self.text = &self.text[count..];
        if count > 0 && (from..=upto).contains(&number) { Ok(number) } else { Err(Stop::Differs) }
    }

    /// Which of these names follows, in full or its first three letters.
    fn name(&mut self, names: &[&str]) -> Result<i64, Stop> {
        for (at, name) in names.iter().enumerate() {
            for form in [name, shortened(name)] {
                let found = self.text.get(..form.len()).is_some_and(|text| text.eq_ignore_ascii_case(form.as_bytes()));
                if found {
                    self.text = &self.text[form.len()..];
                    return Ok(at as i64);
                }
            }
        }
        Err(Stop::Differs)
    }

    fn conversion(&mut self, letter: u8) -> Result<(), Stop> {
        match letter {
            b'%' => self.literal(b'%')?,
            b'c' => self.format(b"%a %b %e %H:%M:%S %Y")?,
            b'D' | b'x' => self.format(b"%m/%d/%y")?,
            b'F' => self.format(b"%Y-%m-%d")?,
            b'R' => self.format(b"%H:%M")?,
            b'T' | b'X' => self.format(b"%H:%M:%S")?,
            b'r' => self.format(b"%I:%M:%S %p")?,
            b'n' | b't' => self.skip_spaces(),
            b'C' | b'Y' | b'y' => self.year(letter)?,
            b'A' | b'a' | b'u' | b'w' => self.weekday(letter)?,
            b'B' | b'b' | b'h' | b'm' | b'd' | b'e' | b'j' => self.date(letter)?,
            b'H' | b'k' | b'I' | b'l' | b'p' | b'M' | b'S' | b's' => self.time(letter)?,
            // Read, and then ignored.
            b'G' => drop(self.number(0, i64::MAX / 100, usize::MAX)?),
            b'g' => drop(self.number(0, 99, 2)?),
            b'V' => drop(self.number(0, 53, 2)?),
            b'Z' => self.zone_name(),
            b'z' => self.zone()?,
            _ => {
                let message = format!("jq may have %{} in strptime, eventlift has not", shown(letter));
                return Err(Stop::Refused(message));
            }
        }
        Ok(())
    }

    fn year(&mut self, letter: u8) -> Result<(), Stop> {
        self.read.wants_days = true;
        match letter {
            b'C' => self.read.century = Some(self.number(0, 99, 2)?),
            b'Y' => {
                self.moment.year = self.number(0, 9999, 4)?;
                self.read.wants_century = false;
            }
            _ => {
                let year = self.number(0, 99, 2)?;
                self.moment.year = if year >= 69 { 1900 + year } else { 2000 + year };
                self.read.wants_century = true;
            }
        }
        Ok(())
    }

    fn weekday(&mut self, letter: u8) -> Result<(), Stop> {
        self.moment.weekday = match letter {
            b'u' => self.number(1, 7, 1)? % 7,
            b'w' => self.number(0, 6, 1)?,
            _ => self.name(&WEEKDAYS)?,
        };
        self.read.has_weekday = true;
        Ok(())
    }

    fn date(&mut self, letter: u8) -> Result<(), Stop> {
        match letter {
            b'j' => {
                self.moment.day_of_year = self.number(1, 366, 3)? - 1;
                self.read.has_day_of_year = true;
                return Ok(());
            }
            b'd' | b'e' => {
                self.moment.day = self.number(1, 31, 2)?;
                self.read.has_day = true;
            }
            b'm' => {
                self.moment.month = self.number(1, 12, 2)? - 1;
                self.read.has_month = true;
            }
            _ => {
                self.moment.month = self.name(&MONTHS)?;
                self.read.has_month = true;
            }
        }
        self.read.wants_days = true;
        Ok(())
    }

    fn time(&mut self, letter: u8) -> Result<(), Stop> {
        match letter {
            b'H' | b'k' => {
                self.moment.hour = self.number(0, 23, 2)?;
                self.read.has_hour_of_12 = false;
            }
            b'I' | b'l' => {
                self.moment.hour = self.number(1, 12, 2)? % 12;
                self.read.has_hour_of_12 = true;
            }
            b'M' => self.moment.minute = self.number(0, 59, 2)?,
            b'S' => self.moment.second = self.number(0, 61, 2)?,
            b's' => {
                if !self.text.first().is_some_and(u8::is_ascii_digit) {
                    return Err(Stop::Differs);
                }
                let seconds = self.number(0, i64::MAX / 100, usize::MAX)?;
                self.moment = Moment::at(seconds).ok_or(Stop::Differs)?;
            }
            _ => self.read.is_afternoon = self.name(&["AM", "PM"])? == 1,
        }
        Ok(())
    }

    fn zone_name(&mut self) {
        self.skip_spaces();
        let letters = self.text.iter().take_while(|byte| !is_space(byte)).count();
        self.text = &self.text[letters..];
    }

    /// `Z`, `+01`, `+0100` or `+01:00`.
    fn zone(&mut self) -> Result<(), Stop> {
        self.skip_spaces();
        let (sign, digits) = self.text.split_first().ok_or(Stop::Differs)?;
        self.text = digits;
        match sign {
            b'Z' => return Ok(()),
            b'+' | b'-' => {}
            _ => return Err(Stop::Differs),
        }
        self.two_digits()?;
        let rest = self.text.strip_prefix(b":").unwrap_or(self.text);
        if !rest.first().is_some_and(u8::is_ascii_digit) {
            return Ok(());
        }
        self.text = rest;
        if self.two_digits()? < 60 { Ok(()) } else { Err(Stop::Differs) }
    }

    fn two_digits(&mut self) -> Result<u8, Stop> {
        match self.text {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
                self.text = rest;
                Ok((tens - b'0') * 10 + (ones - b'0'))
            }
            _ => Err(Stop::Differs),
        }
    }

    /// Works out what the format left open.
    fn complete(&mut self) {
        let (moment, read) = (&mut self.moment, &mut self.read);
        if read.has_hour_of_12 && read.is_afternoon {
            moment.hour += 12;
        }
        if let Some(century) = read.century {
            let in_century = if read.wants_century { moment.year.rem_euclid(100) } else { 0 };
            moment.year = century * 100 + in_century;
        }
        if !read.wants_days {
            return;
        }
        if !read.has_weekday {
            if read.has_day_of_year && !(read.has_month && read.has_day) {
                moment.set_date_by_day_of_year(read.has_month, read.has_day);
            }
            moment.weekday = moment.weekday_of_date();
        }
        if !read.has_day_of_year {
            moment.day_of_year = moment.day_of_year_of_date();
        }
    }
}
