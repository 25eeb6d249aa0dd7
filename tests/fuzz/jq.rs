//! Filters in jq: the first line is the filter, the rest the data. What jq itself makes of filters is compared in
//! `language/tests/jq_program`, many at a time.

use eventlift::events::Payload;
use eventlift_language::{JqFilter, JqLimits};

use super::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "jq",
    dictionary: &[
        ".a",
        ".[]",
        " | ",
        " // ",
        "|=",
        "+=",
        "?//",
        "..",
        "reduce .[] as $x (0; . + $x)",
        "foreach",
        "map(",
        "select(",
        "if . then ",
        " else ",
        " end",
        "try ",
        " catch ",
        "as $x | ",
        "as [$a] ?// $a | ",
        "def f: ",
        "label $l | ",
        "break $l",
        "gsub(\"a\"; \"b\")",
        "test(\"(a+)+$\")",
        "tojson",
        "fromjson",
        "del(",
        "path(",
        "getpath(",
        "limit(3; ",
        "@base64",
        "\"\\(.)\"",
        "tostream",
        "splits(\", \")",
        "$__loc__",
        "nan",
        "infinite",
        "strptime(\"%Y\")",
        "todate",
        "[1,[2]]",
        "{\"a\":1}",
        "1e1000",
        "sort",
        "group_by(.)",
        "walk(",
        "-1",
        "env",
        "input",
        "range(9)",
        "implode",
    ],
    always: 1500,
    run,
};

fn run(input: &[u8]) -> Result<String, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok("not text".to_owned()) };
    let (filter, data) = text.split_once('\n').unwrap_or((text, "null"));
    let limits = JqLimits { steps: 20_000, memory: 16 << 20, ..JqLimits::default() };
    let filter = match JqFilter::compile_with(filter, limits) {
        Ok(filter) => filter,
        Err(error) => return Ok(error.message),
    };
    let payload = Payload::json(data.to_owned());
    match filter.apply_data(&payload) {
        Ok(result) => {
            let same = filter.apply_data(&payload).is_ok_and(|again| again == result);
            match serde_json::from_slice::<serde::de::IgnoredAny>(result.bytes()) {
                Ok(_) if same => Ok("a value".to_owned()),
                Ok(_) => Err("it yields something else the second time".to_owned()),
                Err(error) => Err(format!("it yields what is not JSON: {error}: {:?}", result.bytes())),
            }
        }
        // A panic of the interpreter is caught by the filter itself.
        Err(reason) if reason.message.contains("interpreter failed") => Err(reason.to_string()),
        Err(reason) => Ok(reason.message),
    }
}
