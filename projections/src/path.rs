//! Paths into payloads, numbered so that what they lead to is looked for once an event.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use eventlift_language::json::Pointer;

/// A pointer without wildcards. Equal ones have the same number in a process.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pointer: Pointer,
    number: u32,
}

impl Path {
    pub(crate) fn new(pointer: Pointer) -> Self {
        // Only ever locked while definitions are compiled.
        static NUMBERS: OnceLock<Mutex<HashMap<String, u32>>> = OnceLock::new();
        let numbers = NUMBERS.get_or_init(Mutex::default);
        // Whoever panicked with the lock has left a whole map.
        let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let number = *numbers.entry(pointer.as_str().to_owned()).or_insert(next);
        Self { pointer, number }
    }

    pub(crate) fn pointer(&self) -> &Pointer {
        &self.pointer
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }
}
