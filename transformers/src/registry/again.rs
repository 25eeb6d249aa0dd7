//! Taking events back, and the proof that what goes back comes again: what a step back makes of an event is lifted
//! again, and has to give the event.

use eventlift_events::{ContentType, Event, Payload};
use eventlift_language::json::first_difference;
use eventlift_language::{Place, Reason};

use super::lift::{Compiled, Failure, Registry, no_rule_of, pop_single, restore_envelopes};
use super::took::Took;
use crate::transformer::Shape;
use crate::upcaster::Schema;
use crate::way_back::Down;

/// The rules that a registry takes back.
pub(super) struct Forward {
    /// The rules themselves.
    pub(super) registry: Registry,
    /// For each of the steps back, the upcaster that it takes back.
    pub(super) steps: Vec<usize>,
    /// For each of the general rules back, the rule that it takes back.
    pub(super) rules: Vec<usize>,
}

impl Registry {
    /// Takes an event back: first the general rules, the last one first, then the steps. Whether any took it.
    ///
    /// What a step makes of an event has to give the event again when it is lifted, unless the step is declared to
    /// lose something. So has what a general rule leaves alone on the way back.
    pub(super) fn descend<'a>(
        &'a self,
        forward: &'a Forward,
        event: Event,
        out: &mut Vec<Event>,
        took: &mut Option<&mut Took>,
    ) -> Result<bool, Failure<'a>> {
        let start = out.len();
        let mut touched = self.undo_rules(forward, event, forward.registry.rules.len(), out, took)?;
        let parts: Vec<Event> = out.drain(start..).collect();
        for part in parts {
            touched |= self.undo_steps(forward, part, out, took)?;
        }
        Ok(touched)
    }

    /// Takes back the general rules before the one with this index. Whether any took the event.
    fn undo_rules<'a>(
        &'a self,
        forward: &'a Forward,
        mut event: Event,
        before: usize,
        out: &mut Vec<Event>,
        took: &mut Option<&mut Took>,
    ) -> Result<bool, Failure<'a>> {
        let (start, mut touched) = (out.len(), false);
        for index in (0..before).rev() {
            let rule = &forward.registry.rules[index];
            let lift = |event: Event, out: &mut Vec<Event>| forward.registry.run_if_taken(rule, event, out);
            let Some(step) = self.rule_back_for(forward, index, &event)? else {
                if rule.is_exact_back() {
                    let stays = std::slice::from_ref(&event);
                    comes_again(rule, &event, stays, lift, |_| false).map_err(|reason| (rule, reason))?;
                }
                continue;
            };
            touched = true;
            let new = event.clone();
            self.run(step, event, out, took)?;
            if rule.is_exact_back() {
                let is_dropped = |other: &Event| match self.rule_back_for(forward, index, other) {
                    Ok(Some(step)) => self.is_dropped_by(step, other),
                    _ => false,
                };
                comes_again(rule, &new, &out[start..], lift, is_dropped).map_err(|reason| (step, reason))?;
            }
            match pop_single(out, start) {
                Some(single) => event = single,
                None => {
                    let parts: Vec<Event> = out.drain(start..).collect();
                    parts
                        .into_iter()
                        .try_for_each(|part| self.undo_rules(forward, part, index, out, took).map(|_| ()))?;
                    return Ok(true);
                }
            }
        }
        out.push(event);
        Ok(touched)
    }

    /// Follows the steps back. Whether there was any.
    fn undo_steps<'a>(
        &'a self,
        forward: &'a Forward,
        mut event: Event,
        out: &mut Vec<Event>,
        took: &mut Option<&mut Took>,
    ) -> Result<bool, Failure<'a>> {
        let (start, mut touched) = (out.len(), false);
        while let Some((index, step)) = self.step_for(&event)? {
            touched = true;
            let new = event.clone();
            self.run(step, event, out, took)?;
            let upcaster = &forward.registry.upcasters[forward.steps[index]];
            if upcaster.is_exact_back() {
                let lift = |event: Event, out: &mut Vec<Event>| forward.registry.run_step_for(event, out);
                let is_dropped = |other: &Event| match self.step_for(other) {
                    Ok(Some((_, step))) => self.is_dropped_by(step, other),
                    _ => false,
                };
                comes_again(upcaster, &new, &out[start..], lift, is_dropped).map_err(|reason| (step, reason))?;
            }
            match pop_single(out, start) {
                Some(single) => event = single,
                None => {
                    let parts: Vec<Event> = out.drain(start..).collect();
                    parts.into_iter().try_for_each(|part| self.undo_steps(forward, part, out, took).map(|_| ()))?;
                    return Ok(true);
                }
            }
        }
        out.push(event);
        Ok(touched)
    }

    /// Of the steps that take back the general rule with this index, the one that takes the event.
    fn rule_back_for(&self, forward: &Forward, index: usize, event: &Event) -> Result<Option<&Compiled>, Failure<'_>> {
        for (step, _) in self.rules.iter().zip(&forward.rules).filter(|(_, of)| **of == index) {
            if step.may_take(event) && step.guard_holds(event)? {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    fn is_dropped_by(&self, step: &Compiled, event: &Event) -> bool {
        let mut out = Vec::new();
        self.run(step, event.clone(), &mut out, &mut None).is_ok() && out.is_empty()
    }

    /// Runs the upcaster that takes an event; one that none takes stays what it is.
    fn run_step_for(&self, event: Event, out: &mut Vec<Event>) -> Result<(), Failure<'_>> {
        match self.step_for(&event)? {
            Some((_, step)) => self.run(step, event, out, &mut None),
            None => {
                out.push(event);
                Ok(())
            }
        }
    }

    /// Runs a general rule, if it takes the event; otherwise that stays what it is.
    fn run_if_taken<'a>(&'a self, rule: &'a Compiled, event: Event, out: &mut Vec<Event>) -> Result<(), Failure<'a>> {
        if rule.may_take(&event) && rule.guard_holds(&event)? {
            return self.run(rule, event, out, &mut None);
        }
        out.push(event);
        Ok(())
    }

    /// Takes an event back through the one rule that is defined at a place, for test cases. Fails where there is no way
    /// back, it does not take the event, or the rule would not give the event again.
    pub(crate) fn run_back_at(&self, place: &Place, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        let Some(rule) = self.upcasters.iter().chain(&*self.rules).find(|rule| rule.place == *place) else {
            return Err(no_rule_of(place));
        };
        match &rule.down {
            Down::Way(_) => {}
            Down::Never => return Err(Reason::new("no event goes back through the rule")),
            Down::Missing(missing) => {
                let why = missing.iter().map(|missing| missing.to_string()).collect::<Vec<_>>().join("; ");
                return Err(Reason::new(format_args!("there is no way back: {why}")));
            }
        }
        let steps = rule.back();
        let taking = |event: &Event| {
            for step in &steps {
                let takes = step.from.as_ref().is_none_or(|from| from.is_of(event)) && step.may_take(event);
                if takes && step.guard_holds(event)? {
                    return Ok(Some(step));
                }
            }
            Ok(None)
        };
        let unnamed = |(_, reason): Failure<'_>| reason;
        let Some(step) = taking(&event).map_err(unnamed)? else {
            return Err(Reason::new("the rule's way back does not take the event"));
        };
        let (new, start) = (event.clone(), out.len());
        self.run(step, event, out, &mut None).map_err(unnamed)?;
        if rule.is_exact_back() {
            let lift = |event: Event, out: &mut Vec<Event>| self.run_if_taken(rule, event, out);
            let is_dropped = |other: &Event| match taking(other) {
                Ok(Some(step)) => self.is_dropped_by(step, other),
                _ => false,
            };
            comes_again(rule, &new, &out[start..], lift, is_dropped)?;
        }
        restore_envelopes(&new, &mut out[start..]);
        Ok(())
    }

    /// Whether the rule that is defined at a place can be taken back without a loss.
    pub(crate) fn is_exact_at(&self, place: &Place) -> bool {
        let rule = self.upcasters.iter().chain(&*self.rules).find(|rule| rule.place == *place);
        rule.is_some_and(Compiled::is_exact_back)
    }
}

/// Fails where `old`, what a step back has made of an event, is not lifted to the event again. Apart from it, lifting
/// may only give what the same step back drops, as the parts of a split that don't carry the event back.
fn comes_again<'r>(
    rule: &Compiled,
    new: &Event,
    old: &[Event],
    lift: impl Fn(Event, &mut Vec<Event>) -> Result<(), Failure<'r>>,
    is_dropped: impl Fn(&Event) -> bool,
) -> Result<(), Reason> {
    if old.is_empty() {
        // Of what a rule makes of one event, one part carries it back.
        return match rule.shape {
            Shape::OneToOne => Err(not_again("nothing goes back, so nothing would come again")),
            Shape::Splitting | Shape::Shifting | Shape::Moving => Ok(()),
        };
    }
    let mut again = Vec::new();
    for event in old {
        lift(event.clone(), &mut again).map_err(|(rule, reason)| {
            not_again(&format!("what goes back fails when {} lifts it again: {}", rule.name, reason.message))
        })?;
    }
    let (same, mut others): (Vec<Event>, Vec<Event>) =
        again.into_iter().partition(|event| first_other(new, event).is_none());
    others.retain(|other| !is_dropped(other));
    match (same.len(), &others[..]) {
        (1, []) => Ok(()),
        (0, []) => Err(not_again("lifted again, what goes back gives no event")),
        (0, [other]) => {
            let other = first_other(new, other).unwrap_or_default();
            Err(not_again(&format!("lifted again, it would be another event: {other}")))
        }
        (same, others) => Err(not_again(&format!("lifted again, what goes back gives {} events", same + others.len()))),
    }
}

fn not_again(why: &str) -> Reason {
    Reason::new(format_args!("the version before has no place for it: {why}"))
        .hint("`down` says what becomes of it; with `lossy = true` it may come again as something else")
}

/// What two events first differ in, of all that rules may change; without the values.
fn first_other(new: &Event, again: &Event) -> Option<String> {
    if new.event_type != again.event_type || new.version != again.version {
        return Some(format!("it is {}, and was {}", Schema::of(again), Schema::of(new)));
    }
    if new.stream != again.stream {
        return Some("it is in another stream".to_owned());
    }
    let of_data = payload_differs(&new.data, &again.data).map(|what| format!("in its data, {what}"));
    let of_metadata = || payload_differs(&new.metadata, &again.metadata).map(|what| format!("in its metadata, {what}"));
    let of_attributes = || {
        let [new, again] = [new, again].map(|event| Payload::new(event.attributes.clone(), ContentType::Json));
        payload_differs(&new, &again).map(|what| format!("in its attributes, {what}"))
    };
    of_data.or_else(of_metadata).or_else(of_attributes)
}

fn payload_differs(new: &Payload, again: &Payload) -> Option<String> {
    if new == again {
        return None;
    }
    if new.is_json() && again.is_json() && new.content_type() == again.content_type() {
        let texts = (std::str::from_utf8(new.bytes()), std::str::from_utf8(again.bytes()));
        if let (Ok(new), Ok(again)) = texts {
            return first_difference(new, again).map(|difference| difference.to_string());
        }
    }
    Some("the bytes are others".to_owned())
}
