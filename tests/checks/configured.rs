//! `[checks]` and `[[check]]` that are wrong.

use std::path::Path;

const STORES: &str = "[source]\nstore = \"sqlite\"\npath = \"a.db\"\n[target]\nstore = \"sqlite\"\npath = \"b.db\"\n";

#[test]
fn what_is_wrong_with_a_check_is_named() {
    let check = |rest: &str| format!("[[check]]\nname = \"rows\"\nwhen = \"after\"\non = \"target\"\n{rest}\n");
    for (text, problem) in [
        (check(""), "[[check]] \"rows\": it needs either `sql` or `jq`"),
        (check("sql = \"SELECT 1\"\njq = \"true\""), "[[check]] \"rows\": it needs either `sql` or `jq`"),
        (check("sql = \"SELECT 1\""), "[[check]] \"rows\": `sql` needs an `expect`"),
        (check("sql = \" \"\nexpect = 0"), "[[check]] \"rows\": `sql` is empty"),
        (check("sql = \"SELECT 1\"\nexpect = {}"), "[[check]] \"rows\": `expect` says nothing, or too much"),
        (
            check("sql = \"SELECT 1\"\nexpect = { equals = 1, empty = true }"),
            "[[check]] \"rows\": `expect` says nothing, or too much",
        ),
        (check("sql = \"SELECT 1\"\nexpect = 1\ntypes = [\"A\"]"), "[[check]] \"rows\": `types` is for `jq`"),
        (check("jq = \"true\"\nexpect = 1"), "[[check]] \"rows\": `expect` is for `sql`"),
        (check("jq = \"true\"\ntypes = []"), "[[check]] \"rows\": `types`: it names no type"),
        (
            check("jq = \"now\""),
            "[[check]] \"rows\": `jq`, line 1, column 1: now is refused: it reads the clock, so the rule would yield something else on every run",
        ),
        (
            check("jq = \"true\"").replace("target", "read_models"),
            "[[check]] \"rows\": `jq` looks at events, and read models have none",
        ),
        (check("jq = \"true\"").replace("rows", "room"), "[[check]] \"room\": there is another check of that name"),
        (check("jq = \"true\"").repeat(2), "[[check]] \"rows\": there is another check of that name"),
        (
            "[checks]\nstatement_timeout = \"0s\"\n".to_owned(),
            "[checks] statement_timeout: \"0s\" is no length of time",
        ),
        ("[checks]\nfirst_types = { user = [] }\n".to_owned(), "[checks] first_types: user: it names no type"),
    ] {
        let text = format!("{STORES}{text}");
        let error = eventlift::Project::parse(Path::new("shop"), &text).unwrap_err();
        assert_eq!(error.message, problem, "{text}");
    }
}
