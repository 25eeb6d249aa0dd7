//! What reads have found that is written in another form than it is yielded in, for whoever wants to tell people.

use std::sync::atomic::{AtomicBool, Ordering};

use super::mapping::{Mapping, Role};
use crate::stores::written_time::{FinerTimes, TimeUnit};

/// Something that can be noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Times are numbers of this unit.
    Numbers(TimeUnit),
    /// Times have more than six digits of a second.
    FinerTimes,
    /// Ids are numbers.
    NumericIds,
    /// Streams are numbers.
    NumericStreams,
    /// Events say no version.
    NoVersion,
    /// Events are in arrays.
    Arrays,
}

/// What was noticed so far, by all reads.
#[derive(Debug, Default)]
pub(super) struct Noticed {
    units: [AtomicBool; 4],
    finer_times: AtomicBool,
    numeric_ids: AtomicBool,
    numeric_streams: AtomicBool,
    no_version: AtomicBool,
    arrays: AtomicBool,
}

impl Noticed {
    pub(super) fn notice(&self, form: Form) {
        let flag = self.flag(form);
        // Others read it all the time: it is written once.
        if !flag.load(Ordering::Relaxed) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    fn flag(&self, form: Form) -> &AtomicBool {
        match form {
            Form::Numbers(unit) => &self.units[unit as usize],
            Form::FinerTimes => &self.finer_times,
            Form::NumericIds => &self.numeric_ids,
            Form::NumericStreams => &self.numeric_streams,
            Form::NoVersion => &self.no_version,
            Form::Arrays => &self.arrays,
        }
    }

    fn has(&self, form: Form) -> bool {
        self.flag(form).load(Ordering::Relaxed)
    }

    /// A line each for people, with what is set.
    pub(super) fn lines(&self, mapping: &Mapping) -> Vec<String> {
        let name = |role| mapping.name(role).unwrap_or("");
        let mut lines = Vec::new();
        if self.has(Form::Arrays) {
            lines.push(
                "events stand in arrays, and are counted where lines would be; `jq -c '.[]'` makes lines of them"
                    .to_owned(),
            );
        }
        for unit in TimeUnit::ALL {
            if self.has(Form::Numbers(unit)) {
                let how = if mapping.time_unit.is_some() { "" } else { ", which was found out (`time_unit` says it)" };
                lines.push(format!("`{}` is a number of {} since 1970{how}", name(Role::Time), unit.name()));
            }
        }
        if self.has(Form::FinerTimes) {
            lines.push(match mapping.finer_times {
                FinerTimes::Truncate => {
                    format!("`{}` is finer than a microsecond: what is beyond it is cut off", name(Role::Time))
                }
                _ => format!(
                    "`{0}` is finer than a microsecond: the event is recorded in the microsecond, and the attribute \
                     `{0}` carries what is written",
                    name(Role::Time)
                ),
            });
        }
        for (form, role) in [(Form::NumericIds, Role::Id), (Form::NumericStreams, Role::Stream)] {
            if self.has(form) {
                lines.push(format!("`{}` is a number, and becomes the text it is written as", name(role)));
            }
        }
        if let (true, Some(version)) = (self.has(Form::NoVersion), mapping.absent_version) {
            lines.push(format!("events that say no version have version {version}"));
        }
        if mapping.revision_base > 0 {
            lines.push(format!("streams count from {}, and from 0 behind it", mapping.revision_base));
        }
        lines.extend(mapping.versions_line());
        lines
    }
}
