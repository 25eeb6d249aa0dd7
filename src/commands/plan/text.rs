//! A plan for people.

use std::fmt;

use eventlift_language::values_are_shown;

use super::report::{
    Estimate, LeftOutLine, NoWayBackLine, PlanReport, ReadModelLine, ReverseView, SampleView, TargetKeeps,
    TargetTypeLine,
};
use crate::commands::error::ExitCode;
use crate::commands::event_view::event_diff;
use crate::commands::output::{Report, command};
use crate::commands::verify::by_value_lines;

impl fmt::Display for LeftOutLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.events {
            Some(events) => write!(f, "not carried over: {events} {}", self.what),
            None => write!(f, "not carried over: {}", self.what),
        }
    }
}

impl Report for PlanReport {
    fn exit_code(&self) -> ExitCode {
        self.exit_code
    }
}

impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = self.target.as_deref().unwrap_or("no target");
        writeln!(f, "{} → {target}\n", self.source)?;
        self.write_types(f)?;
        writeln!(f, "\n{}", self.numbering)?;
        self.write_counts(f)?;
        if let Some(Estimate { seconds, bytes }) = self.estimate {
            let megabytes = bytes as f64 / 1e6;
            writeln!(f, "about {seconds:.1} s and {megabytes:.1} MB in the target")?;
        }
        if let Some(failing) = self.quarantined {
            writeln!(
                f,
                "an event that fails goes to quarantine, with those behind it in its stream; {failing} would fail"
            )?;
        }
        if self.held.events > 0 {
            writeln!(f, "at its end, {}", self.held)?;
        }
        if let Some(loading) = self.loading {
            writeln!(f, "{loading}")?;
        }
        self.writing.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        if let Some(keeps) = &self.target_keeps {
            writeln!(f, "{keeps}")?;
        }
        self.taken_as.iter().try_for_each(|line| writeln!(f, "in the source, {line}"))?;
        self.left_out.iter().try_for_each(|line| writeln!(f, "{line}"))?;
        by_value_lines(&self.compared_by_value).iter().try_for_each(|line| writeln!(f, "{line}"))?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        self.write_read_models(f)?;
        self.write_reverse(f)?;
        if !self.samples.is_empty() && !values_are_shown() {
            writeln!(f, "\nsamples, without their values (--show-values shows them):")?;
        }
        for sample in &self.samples {
            write!(f, "\n{sample}")?;
        }
        for failure in &self.failures {
            writeln!(f, "\n{} fails on {} events; the first:\n  {}", failure.rule, failure.events, failure.first)?;
            if let Some(hint) = &failure.hint {
                writeln!(f, "  hint: {hint}")?;
            }
        }
        if self.obstacles.is_empty() {
            return write!(
                f,
                "\nnothing was written; do it with `{}{}`",
                command("migrate", &self.project),
                self.scope
            );
        }
        writeln!(f, "\na migration would not go through:")?;
        self.obstacles.iter().try_for_each(|obstacle| writeln!(f, "  {obstacle}"))
    }
}

impl PlanReport {
    fn write_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(run) = &self.run {
            writeln!(f, "run {} goes on: it has read {} events and written {}", run.id, run.read, run.written)?;
        }
        let part = match (self.complete, &self.run) {
            (false, _) => " (a part of the source)",
            (true, Some(_)) => " behind them",
            (true, None) => "",
        };
        match self.failing {
            0 => write!(f, "{} events{part} would become {}", self.events, self.written)?,
            failed => {
                write!(f, "{failed} of {} events{part} fail, the others would become {}", self.events, self.written)?
            }
        }
        writeln!(f, ": {} lifted, {} of them split, {} dropped", self.lifted, self.split, self.dropped)?;
        if !self.shows_target_types {
            return Ok(());
        }
        let line = |line: &TargetTypeLine| format!("{} {} ({})", line.event_type, line.version, line.events);
        let lines: Vec<String> = self.target_types.iter().map(line).collect();
        writeln!(f, "what comes out: {}", if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") })
    }

    fn write_reverse(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(ReverseView { possible, missing }) = &self.reverse else { return Ok(()) };
        if *possible {
            return writeln!(f, "\na reverse stream is possible: every rule has a way back");
        }
        writeln!(f, "\na reverse stream is not possible")?;
        for NoWayBackLine { rule, place, step, why, hint } in missing {
            let step = if step.is_empty() { String::new() } else { format!("{step}: ") };
            writeln!(f, "  {place}: {rule}: {step}{why}")?;
            hint.iter().try_for_each(|hint| writeln!(f, "    hint: {hint}"))?;
        }
        Ok(())
    }

    fn write_read_models(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.read_models.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nread models and snapshots")?;
        let width = self.read_models.iter().map(|line| line.projection.chars().count()).max().unwrap_or(0);
        for ReadModelLine { projection, events, lifted } in &self.read_models {
            write!(f, "  {projection:width$}  ")?;
            match (events, &lifted[..]) {
                (0, _) => writeln!(f, "untouched: nothing of this reaches it")?,
                (_, []) => writeln!(f, "folds {events} events, none of them upcast")?,
                (_, lifted) => {
                    let lifted: Vec<String> = lifted.iter().map(|[from, to]| format!("{from} → {to}")).collect();
                    writeln!(f, "folds {events} events, touched by {}", lifted.join(", "))?;
                }
            }
        }
        Ok(())
    }

    fn write_types(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.types.iter().map(|line| line.event_type.chars().count()).max().unwrap_or(0).max(4);
        writeln!(f, "{:width$}  version      events  becomes", "type")?;
        for line in &self.types {
            write!(f, "{:width$}  {:>7}  {:>10}  {}", line.event_type, line.version, line.events, line.becomes)?;
            if !line.rules.is_empty() {
                write!(f, ", then {}", line.rules.join(", "))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for TargetKeeps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, metadata } = self;
        match data == metadata {
            true => write!(f, "data and metadata are kept as {}", data.column)?,
            false => write!(f, "data is kept as {}, {}; metadata as {}", data.column, data.effect, metadata.column)?,
        }
        write!(f, ", {}", metadata.effect)
    }
}

impl fmt::Display for SampleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let before = Some(&self.before);
        match &self.after[..] {
            [] => write!(f, "event {} is dropped:\n{}", self.before.position, event_diff(before, None)),
            [after] => {
                write!(f, "event {} (- before, + after):\n{}", self.before.position, event_diff(before, Some(after)))
            }
            parts => {
                writeln!(f, "event {} is split into {} (- before, + after):", self.before.position, parts.len())?;
                write!(f, "{}", event_diff(before, None))?;
                parts.iter().try_for_each(|part| write!(f, "+\n{}", event_diff(None, Some(part))))
            }
        }
    }
}
