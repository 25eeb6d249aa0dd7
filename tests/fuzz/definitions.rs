//! Definition files.

use eventlift::transformers::{Definitions, Keys, Registry};

use super::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "definitions",
    dictionary: &[
        "[[upcast]]\n",
        "from = 1\n",
        "current = 2\n",
        "type = \"A\"\n",
        "data = [",
        "{ rename = \"/a\", to = \"/b\" }",
        "{ set = \"/a\", to = 1 }",
        "{ remove = \"/a\" }",
        "jq = '.'\n",
        "when = { field = \"/a\", is = 1 }\n",
        "split = [",
        "[[rule]]\n",
        "name = \"r\"\n",
        "drop = true\n",
        "[schema]\n",
        "[[test]]\n",
        "given = '{}'\n",
        "then = '{}'\n",
        "stream = \"a-{id}\"\n",
        "'''",
        "\"\"\"",
        "inverse = ",
        "[current]\n",
        "/-",
        "/*",
        "~1",
    ],
    always: 1500,
    run,
};

fn run(input: &[u8]) -> Result<String, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok("not text".to_owned()) };
    let definitions = match Definitions::load([("a.toml".into(), text.to_owned())], &Keys::default()) {
        Ok(definitions) => definitions,
        Err(errors) => {
            // Each problem has a place inside the text.
            let lines = u32::try_from(text.lines().count() + 1).unwrap_or(u32::MAX);
            return match errors.0.iter().find(|problem| problem.place.line > lines) {
                Some(problem) => Err(format!("a problem outside of the text: {problem}")),
                None => Ok(errors.0.first().map(ToString::to_string).unwrap_or_default()),
            };
        }
    };
    match definitions.register(Registry::builder()).build() {
        Ok(registry) => {
            let failed = definitions.test(&registry).iter().filter(|test| test.failure.is_some()).count();
            Ok(format!("built, failed tests {}", if failed > 0 { "some" } else { "none" }))
        }
        Err(error) => Ok(error.to_string()),
    }
}
