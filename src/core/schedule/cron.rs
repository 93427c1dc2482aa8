//! Five fields of cron, as `crontab(5)` describes them: minute, hour, day of the month, month, day of the week.

use jiff::civil::Date;

use crate::core::units::Excerpt;

/// When something begins, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: Field,
    hours: Field,
    days: Field,
    months: Field,
    weekdays: Field,
}

/// The numbers of one field, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    /// Whether it began with `*`: of the two fields of days, one that does leaves the choice to the other.
    star: bool,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Sunday is 0 and 7.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Days of each month in the longest year.
const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// What a field may hold.
struct Range {
    name: &'static str,
    from: u8,
    to: u8,
    words: &'static [&'static str],
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, continuing its path.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "must have five fields (minute, hour, day of the month, month, day of the week) such as \"0 2 * * *\", not {}",
                Excerpt::new(text)
            ));
        };
        let range = |name, from, to, words| Range { name, from, to, words };
        let cron = Self {
            minutes: range("minute", 0, 59, &[]).read(minutes)?,
            hours: range("hour", 0, 23, &[]).read(hours)?,
            days: range("day of the month", 1, 31, &[]).read(days)?,
            months: range("month", 1, 12, &MONTHS).read(months)?,
            weekdays: range("day of the week", 0, 7, &WEEKDAYS).read(weekdays)?.with_sunday(),
        };
        let occurs = (1..=12).zip(LENGTHS).any(|(month, length)| {
            cron.months.has(month) && (1..=31).any(|day| u32::from(day) <= length && cron.days.has(day))
        });
        if !occurs && cron.weekdays.star {
            return Err(format!("must name a day that there is: no month of {} has such a day", Excerpt::new(text)));
        }
        Ok(cron)
    }

    /// Whether something begins on that day. A day that is named in one of the two fields is enough, if both name some.
    pub fn matches(&self, date: Date) -> bool {
        let day = self.days.has(date.day().unsigned_abs());
        let weekday = self.weekdays.has(date.weekday().to_sunday_zero_offset().unsigned_abs());
        let named = if self.days.star || self.weekdays.star { day && weekday } else { day || weekday };
        self.months.has(date.month().unsigned_abs()) && named
    }

    /// Hours and minutes at which something begins.
    pub fn times(self) -> impl Iterator<Item = (i8, i8)> {
        let hours = (0..24_i8).filter(move |hour| self.hours.has(hour.unsigned_abs()));
        hours.flat_map(move |hour| {
            (0..60_i8).filter(move |minute| self.minutes.has(minute.unsigned_abs())).map(move |minute| (hour, minute))
        })
    }
}

impl Field {
    const fn has(self, number: u8) -> bool {
        self.bits >> number & 1 == 1
    }

    /// Sunday under its first number.
    const fn with_sunday(self) -> Self {
        Self { bits: self.bits | self.bits >> 7 & 1, star: self.star }
    }
}

impl Range {
    fn read(&self, text: &str) -> Result<Field, String> {
        let mut bits = 0;
        for part in text.split(',') {
            bits |= self.part(part).ok_or_else(|| self.refusal(text))?;
        }
        Ok(Field { bits, star: text.starts_with('*') })
    }

    fn refusal(&self, text: &str) -> String {
        format!(
            "must give the {} as a number from {} to {}, as *, as 1-5, as */10 or as a list of those, not {}",
            self.name,
            self.from,
            self.to,
            Excerpt::new(text)
        )
    }

    /// One entry of a list: `*`, `5`, `1-5`, `*/10` or `1-30/10`.
    fn part(&self, text: &str) -> Option<u64> {
        let (span, step) = match text.split_once('/') {
            Some((span, step)) => (span, self.step(step)?),
            None => (text, 1),
        };
        let (from, to) = if span == "*" {
            (self.from, self.to)
        } else if let Some((from, to)) = span.split_once('-') {
            (self.number(from)?, self.number(to)?)
        } else {
            let only = self.number(span)?;
            // `5/10` means something else to every cron.
            (only, if text.contains('/') { return None } else { only })
        };
        if from > to {
            return None;
        }
        Some((from..=to).step_by(step).fold(0, |bits, number| bits | 1 << number))
    }

    fn step(&self, text: &str) -> Option<usize> {
        digits(text).filter(|step| (1..=self.to).contains(step)).map(usize::from)
    }

    fn number(&self, text: &str) -> Option<u8> {
        let word = self.words.iter().position(|word| text.eq_ignore_ascii_case(word));
        let word = word.and_then(|position| u8::try_from(position).ok());
        // Months count from 1, days of the week from 0.
        word.map(|position| position + self.from).or_else(|| digits(text)).filter(|n| (self.from..=self.to).contains(n))
    }
}

/// One or two digits: `str::parse` takes signs as well.
fn digits(text: &str) -> Option<u8> {
    let plain = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}
