//! The filters of jq that a rule may not use, and why.

/// A name that is refused.
pub(super) struct Refused {
    /// Why.
    pub(super) why: &'static str,
    /// What to try.
    pub(super) hint: &'static str,
}

const ENVIRONMENT: Refused = Refused {
    why: "it reads the environment, so the rule would yield something else elsewhere",
    hint: "write the value into the filter",
};
const CLOCK: Refused = Refused {
    why: "it reads the clock, so the rule would yield something else on every run",
    hint: "use the event's own recorded_at, or write the time into the filter",
};
const ZONE: Refused =
    Refused { why: "it depends on the machine's time zone", hint: "use gmtime, strftime or mktime, which are in utc" };
const HALT: Refused =
    Refused { why: "it would end the whole run", hint: "use error(\"…\") to refuse an event, or empty to drop it" };
const INPUT: Refused = Refused {
    why: "a rule sees one event at a time",
    hint: "what depends on earlier events is a stateful transformer",
};
const OUTPUT: Refused =
    Refused { why: "a rule has no output but its result", hint: "take it out, or use error(\"…\") to see a value" };
const MODULE: Refused =
    Refused { why: "a rule is complete in its own file", hint: "copy the definitions into the filter" };

/// Says why a name is refused, if it is. Variables start with `$`.
pub(super) fn refused(name: &str) -> Option<&'static Refused> {
    Some(match name {
        "env" | "$ENV" => &ENVIRONMENT,
        "now" => &CLOCK,
        "localtime" | "strflocaltime" => &ZONE,
        "halt" | "halt_error" => &HALT,
        "input" | "inputs" | "input_filename" | "input_line_number" | "$__prog_args" | "get_search_list" => &INPUT,
        "debug" | "stderr" | "repl" => &OUTPUT,
        "import" | "include" | "module" | "modulemeta" => &MODULE,
        "rand" | "random" => &RANDOM,
        _ => return None,
    })
}

const RANDOM: Refused =
    Refused { why: "the rule would yield something else on every run", hint: "derive the value from the event's id" };

/// Definitions of jaq's standard library that need natives that are left out, or that are natives here (`updates.rs`, `scaling.rs`).
pub(super) fn is_left_out_definition(name: &str) -> bool {
    matches!(name, "stderr" | "debug" | "halt" | "halt_error" | "getpath" | "setpath" | "delpaths" | "scalb")
}

/// Filters of the interpreter's library that jq has not: only its own definitions name them.
pub(super) const OF_THE_LIBRARY: &[&str] = &[
    "@htmld",
    "capture_of_match",
    "decode_base64",
    "decode_uri",
    "encode_base64",
    "encode_uri",
    "error_empty",
    "escape_html",
    "escape_sh",
    "ilogb",
    "isarray",
    "isboolean",
    "isnumber",
    "isobject",
    "isstring",
    "key_values",
    "matches",
    "max_by_or_empty",
    "min_by_or_empty",
    "path_value",
    "scan_",
    "split_",
    "split_matches",
    "tobytes",
    "totype",
    "unescape_html",
];

/// Natives of jaq's standard library that are left out: those above, and two whose time grows with their argument.
pub(super) fn is_left_out_native(name: &str) -> bool {
    matches!(
        name,
        "env" | "now" | "localtime" | "strflocaltime" | "halt" | "debug_empty" | "stderr_empty" | "jn" | "yn"
    )
}
