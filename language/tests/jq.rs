//! What rules in jq promise: exact, pure, bounded.
#![cfg(feature = "jq")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not tests to clippy

use std::time::{Duration, Instant};

use eventlift_events::{ContentType, Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, Timestamp};
use eventlift_language::{JqFilter, JqInput, JqLimits, Reason, showing_values};
use proptest::prelude::*;

fn apply(filter: &str, data: &str) -> Result<String, Reason> {
    let filter = JqFilter::compile(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let data = showing_values(|| filter.apply_data(&Payload::json(data.to_owned())))?;
    Ok(String::from_utf8(data.bytes().to_vec()).unwrap())
}

#[track_caller]
fn yields(filter: &str, data: &str, expected: &str) {
    assert_eq!(apply(filter, data).as_deref(), Ok(expected), "{filter} on {data}");
}

#[track_caller]
fn fails(filter: &str, data: &str, expected: &str) {
    let reason = apply(filter, data).expect_err(filter);
    assert!(reason.message.contains(expected), "{filter} on {data}: {reason}");
}

#[test]
fn a_filter_is_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<JqFilter>();
}

#[test]
fn untouched_values_keep_their_bytes() {
    let data = r#" { "z" : 10.10, "a":[ 1.0 ,2e3, -0 ], "s":"\ud800 \u0000 \u00e9 \/", "n" : 12345678901234567890123, "x": 1 } "#;
    yields(".", data, data);
    yields(
        ".x = 2",
        data,
        r#"{"z":10.10,"a":[ 1.0 ,2e3, -0 ],"s":"\ud800 \u0000 \u00e9 \/","n":12345678901234567890123,"x":2}"#,
    );
    yields(
        "del(.z)",
        data,
        r#"{"a":[ 1.0 ,2e3, -0 ],"s":"\ud800 \u0000 \u00e9 \/","n":12345678901234567890123,"x":1}"#,
    );
    yields("{full: .a, t: .s}", data, r#"{"full":[ 1.0 ,2e3, -0 ],"t":"\ud800 \u0000 \u00e9 \/"}"#);
    yields(".a[1] = 5 | .a", data, "[1.0,5,-0]");
    yields("walk(.)", data, data);
    yields("{x, z, a, s, n}", data, data);
    yields("{new: 1} + del(.a, .s, .n)", data, r#"{"z":10.10,"x":1,"new":1}"#);
    yields(".s |= . + \"!\" | .s", data, r#""\ud800 \u0000 é /!""#);
}

#[test]
fn numbers_keep_their_text() {
    yields("{b: .a}", r#"{"a":10.10}"#, r#"{"b":10.10}"#);
    yields(
        "[.[] | {v: .}]",
        "[9007199254740993,1e400,1E5,0.10]",
        r#"[{"v":9007199254740993},{"v":1e400},{"v":1E5},{"v":0.10}]"#,
    );
    yields(".a + 1", r#"{"a":9223372036854775807}"#, "9223372036854775808");
    yields(".a = 10.1", r#"{"a":10.10}"#, r#"{"a":10.1}"#);
    yields(".a += 0", r#"{"a":0.10}"#, r#"{"a":0.10}"#);
    yields(".a += 0", r#"{"a":0.10000000000000000001}"#, r#"{"a":0.1}"#);
    yields(". / 2", "10", "5");
    yields(". / 4", "10", "2.5");
    yields("tojson", r#"{"a":10.10}"#, r#""{\"a\":10.10}""#);
    yields("tostring | tonumber", "10.10", "10.10");
    yields(".price = 10.10", "{}", r#"{"price":10.10}"#);
    yields("fromjson", r#""[1.0, 2]""#, "[1.0,2]");
}

#[test]
fn what_json_cannot_hold_is_a_reason() {
    fails("nan", "1", "not a number");
    fails("infinite", "1", "infinite");
    fails("{a: [-infinite]}", "1", "infinite");
    fails("1e308 * 10", "1", "infinite");
    fails("[nan] | tojson", "1", "not a number");
    fails("\"/w==\" | @base64d", "1", "not utf-8");
}

#[test]
fn a_key_that_occurs_twice_is_never_lost() {
    let data = r#"{"x":{"a":1,"a":2},"b":1}"#;
    yields(".b = 2", data, r#"{"x":{"a":1,"a":2},"b":2}"#);
    for filter in
        [".x.c = 1", "del(.x.a)", ".x |= with_entries(.)", ".x |= map_values(. + 1)", "{y: (.x + {c: 1})}", ".x |= {a}"]
    {
        fails(filter, data, "occurs twice");
    }
    fails(".b = 1", r#"{"a":1,"a":2}"#, "occurs twice");
    fails("fromjson", r#""[{\"a\":1,\"a\":2}]""#, "occurs twice");
}

#[test]
fn invalid_json_is_refused() {
    for data in
        ["NaN", "01", "{\"a\":NaN}", "[1,]", "{a:1}", "'a'", "1 2", "", "nul", "\"\u{1}\"", "[1", "+1", "1.", ".5"]
    {
        let reason = apply(".", data).expect_err(data);
        assert!(reason.message.contains("not valid json") || data.is_empty(), "{data}: {reason}");
    }
    let filter = JqFilter::compile(".").unwrap();
    assert!(filter.apply_data(&Payload::json(&b"\"\xff\""[..])).is_err());
    let reason = filter.apply_data(&Payload::binary(&b"{}"[..])).unwrap_err();
    assert!(reason.message.contains("octet-stream"), "{reason}");
    let vendor = Payload::new(&b"{}"[..], ContentType::parse("application/vnd.a+json"));
    assert_eq!(filter.apply_data(&vendor).unwrap(), vendor);
    fails("fromjson", "\"[1 2]\"", "not valid json");
    yields("fromjson", "\"[01,+2,.5,1.]\"", "[1,2,0.5,1]");
    fails("fromjson", "\"nan\"", "not valid json");
}

#[test]
fn deep_input_is_a_reason_and_not_a_crash() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    fails(".", &deep, "nested deeper than 256 levels");
    fails(".", &("{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000)), "nested deeper than 256 levels");
    let text = serde_json::to_string(&deep).unwrap();
    fails("fromjson", &text, "nested deeper");
    let allowed = "[".repeat(256) + &"]".repeat(256);
    yields(".", &allowed, &allowed);
    yields("walk(.)", &allowed, &allowed);
    yields("[..] | length", &allowed, "256");
    yields("tojson | fromjson", &allowed, &allowed);
    yields(". == .", &allowed, "true");
}

#[test]
fn one_value_comes_out() {
    fails("empty", "1", "yielded nothing");
    fails("1, 2, 3", "1", "yielded 3 values");
    fails("range(5000)", "1", "yielded more than 1000 values");
    assert_eq!(apply("1, 2", "1").unwrap_err().hint.as_deref(), Some("use jq_events to split or drop"));
}

#[test]
fn errors_read_as_jq_words_them() {
    fails(".a", "5", "cannot index 5 with \"a\"");
    fails("error(\"no such customer\")", "5", "no such customer");
    fails("error({a: 1})", "5", "{\"a\":1}");
    fails(".[]", "5", "cannot use 5 as iterable");
    fails("{} - 1", "5", "cannot calculate {} - 1");
    fails("1 % 0", "5", "cannot calculate 1 % 0");
    fails("{(1): 2}", "5", "object key");
}

#[test]
fn the_language_is_jq() {
    yields(
        r#".full_name = "\(.first) \(.last)" | del(.first, .last)"#,
        r#"{"first":"A","last":"B","n":1}"#,
        r#"{"n":1,"full_name":"A B"}"#,
    );
    yields("with_entries(.key |= ascii_upcase)", r#"{"a":1,"b":2}"#, r#"{"A":1,"B":2}"#);
    yields("to_entries | from_entries", r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#);
    yields(".items | map(.qty) | add", r#"{"items":[{"qty":1},{"qty":2}]}"#, "3");
    yields("split(\",\") | map(tonumber)", "\"1,2,3\"", "[1,2,3]");
    yields("[.[] | select(. > 1)] | sort | reverse", "[3,1,2]", "[3,2]");
    yields("group_by(.k) | map(length)", r#"[{"k":1},{"k":2},{"k":1}]"#, "[2,1]");
    yields("test(\"^a+$\")", "\"aaa\"", "true");
    yields("gsub(\"a\"; \"b\")", "\"xaya\"", "\"xbyb\"");
    yields(".[1:3]", "\"häus\"", "\"äu\"");
    yields(".[-2:]", "[1,2,3]", "[2,3]");
    yields(".a.b.c = 1", "{}", r#"{"a":{"b":{"c":1}}}"#);
    yields("todate", "0", "\"1970-01-01T00:00:00Z\"");
    yields("def f(x): x + 1; f(.)", "1", "2");
    yields("[limit(3; repeat(1))]", "1", "[1,1,1]");
    yields("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6");
    yields("[foreach .[] as $x (0; . + $x)]", "[1,2,3]", "[1,3,6]");
    yields("try error(\"x\") catch .", "1", "\"x\"");
    yields(".a // \"none\"", "{}", "\"none\"");
    yields("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#);
    yields("getpath([\"a\",0])", r#"{"a":[1]}"#, "1");
    yields("has(\"a\"), has(\"b\") | select(.)", r#"{"a":null}"#, "true");
    yields("index(\"b\")", "\"äbc\"", "1");
    yields("[1,[2,[3]]] | flatten", "1", "[1,2,3]");
    yields("@base64", "\"ab\"", "\"YWI=\"");
    yields("contains({a: [1]})", r#"{"a":[1,2]}"#, "true");
    yields("{a: 1, b: {c: 1}} * {b: {d: 2}}", "1", r#"{"a":1,"b":{"c":1,"d":2}}"#);
    yields("[.[] | length]", r#"["äö", [1], {"a":1}, null, -5]"#, "[2,1,1,0,5]");
    yields("(.a, .b) |= . + 1", r#"{"a":1,"b":2}"#, r#"{"a":2,"b":3}"#);
    yields("def f: (.a, .b); f |= 5", r#"{"a":1,"b":2}"#, r#"{"a":5,"b":5}"#);
    yields("[label $out | 1, break $out, 2]", "1", "[1]");
    yields("ltrimstr(\"a\")", "\"ab\"", "\"b\"");
    yields("unique", "[2,1,2]", "[1,2]");
    yields("\"x\" * 3", "1", "\"xxx\"");
    yields("\"a,b\" / \",\"", "1", "[\"a\",\"b\"]");
    yields("join(\"-\")", "[1,\"a\"]", "\"1-a\"");
    fails("join(\"-\")", "5", "cannot use 5 as iterable");
    yields("flatten", "[[],[[]]]", "[]");
    yields("[.[] | isnan, isinfinite, isnormal]", "[0,1]", "[false,false,false,false,false,true]");
}

/// Messages of what is written in jq itself are no values of events.
#[test]
fn what_the_library_says_is_shown() {
    for (filter, expected) in [
        ("[limit(-1; 1)]", "negative count"),
        ("test(\"[\")", "not a regular expression"),
        ("reverse", "cannot reverse"),
    ] {
        let filter_of = JqFilter::compile(filter).unwrap();
        let reason = filter_of.apply_data(&Payload::json("\"a\"")).unwrap_err();
        assert!(reason.message.contains(expected), "{filter}: {reason}");
        assert!(!reason.message.contains("\"a\""), "{filter}: {reason}");
    }
}

/// What jq 1.6, which the tests call, does otherwise than the versions since, or does not have.
#[test]
fn later_versions_of_jq_count_where_they_mended_something() {
    yields(".[] |= empty", "[1,2,3,4]", "[]");
    yields("(.[] | select(. > 1)) |= empty", "[1,2,3]", "[1]");
    yields("reduce range(3) as $x (0; empty)", "0", "null");
    yields("reduce range(3) as $x (0; if $x == 1 then empty else . + 1 end)", "0", "1");
    yields("[foreach range(3) as $x (0; if $x == 1 then empty else . + 1 end)]", "0", "[1,1]");
    yields("[limit(0; 1, 2)]", "0", "[]");
    fails("[limit(-1; 1, 2)]", "0", "negative count");
    yields("[.[1.7], .[-1.5], .[nan]]", "[0,1,2]", "[1,2,null]");
    yields("[.[nan:], .[:nan]]", "[1,2]", "[[1,2],[1,2]]");
    yields("if . then 1 end", "null", "null");
    yields("[match(\"\"; \"g\").offset]", "\"aé\"", "[0,1,2]");
    yields("[match(\"a*\"; \"g\") | [.offset, .string]]", "\"baac\"", r#"[[0,""],[1,"aa"],[3,""],[4,""]]"#);
    yields("gsub(\"\"; \"-\")", "\"ab\"", "\"-a-b-\"");
    yields("gsub(\"^\"; \">\")", "\"ab\"", "\">ab\"");
    yields("[sub(\"(?<x>a)\"; \"1\", \"2\")]", "\"ab\"", r#"["1b","2b"]"#);
    yields("pick(.a, .b[1])", r#"{"a":1,"b":[2,3],"c":4}"#, r#"{"a":1,"b":[null,3]}"#);
    yields("abs", "-5", "5");
    fails("abs", "null", "cannot use null as number");
    yields("[abs, skip(1.5; 1, 2)]", "\"a\"", "[\"a\",2]");
    fails("trimstr(\"a\")", "1", "must be strings");
    yields("[trim, ltrim, rtrim, trimstr(\" \")]", "\" a \"", r#"["a","a "," a","a"]"#);
    yields("[skip(1; .[])]", "[1,2,3]", "[2,3]");
    yields("[scan(\"A\"; \"i\")]", "\"aA\"", r#"["a","A"]"#);
    yields("@urid", "\"a%20b%C3%A9\"", "\"a bé\"");
    yields("toboolean", "\"true\"", "true");
    yields("add(.[] | . * 2)", "[1,2]", "6");
    yields("[nth(1; .[]), nth(3; .[])]", "[1,2,3]", "[2]");
    yields("[sub(\"a\"; empty)]", "\"ab\"", "[\"ab\"]");
    fails("path(1)", "1", "invalid path expression");
    yields("[indices(\"aa\"), index(\"b\")]", "\"éaaab\"", "[[1,2],4]");
    yields("try error catch [.]", "null", "[null]");
    fails("1? | error(\"x\")", "0", "x");
    yields("@uri", "\"'(!)*\"", "\"%27%28%21%29%2A\"");
    yields("[scan(\"$\")]", "\"äb\"", "[\"\"]");
    yields("[.[] as [$a] ?// $a | $a]", "[[1],2]", "[1,2]");
    yields(".[] as [$a] ?// [$b] | if $a != null then error(\"no\") else [$a, $b] end", "[[3]]", "[null,3]");
    yields("reduce .[] as [$a] ?// $a (0; . + $a)", "[[1],2]", "3");
    yields("[nan % 2 | isnan, (5 % infinite), (1e19 % 7)]", "0", "[true,5,3]");
    yields("walk(select(. != 1))", "[1,[1,2]]", "[[2]]");
    yields("$__loc__\n| .line", "0", "1");
    yields("\n$__loc__", "0", r#"{"file":"<top-level>","line":2}"#);
}

#[test]
fn updates_look_at_all_paths_first() {
    yields("del(.[0, 1])", "[1,2,3]", "[3]");
    yields("[(.a |= empty), (.a.b |= empty), (.[1:]? |= empty)]", "null", "[null,null,null]");
    yields("[(.a.b |= empty), (.b.c |= empty)]", r#"{"a":null}"#, r#"[{"a":null},{"a":null}]"#);
    yields(".[-1] |= empty", "[]", "[]");
    yields("del(.[0], .[2])", "[1,2,3,4]", "[2,4]");
    yields(".[2] = 1", "null", "[null,null,1]");
    yields(".a[1].b = 1", "{}", r#"{"a":[null,{"b":1}]}"#);
    yields(".[1:] = [9]", "[1,2,3]", "[1,9]");
    yields("[.[] |= (., .)]", "[1,2]", "[[1,2]]");
    fails(".. |= (if type == \"array\" then length else . end)", "[1,[2]]", "cannot index 2 with 0");
    fails(".[-3] = 1", "[1]", "out of bounds");
    fails(".[1e18] = 1", "[]", "out of bounds");
    fails(".[300000000] = 1", "[]", "ran away");
    fails("[range(300) | 0] as $path | null | setpath($path; 1)", "0", "ran away");
    let large = format!("[{}]", vec!["1"; 20_000].join(","));
    assert_eq!(apply("map_values(. + 1) | .[0]", &large).unwrap(), "2");
    yields("reduce range(20000) as $i ([]; .[$i] = $i) | length", "0", "20000");
}

#[test]
fn what_fails_left_of_the_alternative_fails() {
    fails("[.a.b // 1]", r#"{"a":1}"#, "cannot index");
    fails("[(1, error(\"x\")) // 2]", "0", "x");
    yields(
        "[.a.b? // 1, first((1, error(\"x\")) // 2), ((null, false) // 3), (empty // 4)]",
        r#"{"a":1}"#,
        "[1,1,3,4]",
    );
    yields("[path((.a, .b) // .c)]", r#"{"a":null,"b":1}"#, r#"[["b"]]"#);
    fails("until(false; .) // 1", "0", "ran away");
}

#[test]
fn an_alternative_beside_an_assignment_is_ambiguous() {
    for source in [
        ".a = .b // 1",
        ".a |= .b // 1",
        ".a // .b = 1",
        "[.a += 1 // 2]",
        "\"\\(.a = .b // 1)\"",
        "if .a = 1 // 2 then 1 else 2 end",
    ] {
        let error = JqFilter::compile(source).expect_err(source);
        assert!(error.to_string().contains("write .a = (.b // 1)"), "{source}: {error}");
    }
    for source in
        [".a = (.b // 1)", ".a //= 1", ".a = 1 | .b // 2", "if .a // 1 then .b = 1 else . end", "[.a // 1, (.b = 2)]"]
    {
        JqFilter::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    }
}

#[test]
fn what_jq_has_and_eventlift_has_not_says_so() {
    for source in ["builtins", "jn(1; .)", "get_prog_origin", "foreach .[] as [$a] ?// $a (0; 1)"] {
        let error = JqFilter::compile(source).expect_err(source);
        assert!(error.message.contains("eventlift has not"), "{source}: {error}");
        assert!(error.hint.is_some(), "{source}");
    }
}

/// A filter that caught it would go on with another result than jq's.
#[test]
fn what_eventlift_has_not_cannot_be_caught() {
    for filter in [
        "\"a\" | test(\"a\"; \"l\")",
        "\"a\" | test(\"[\")",
        "strftime(\"%Q\")",
        "strftime(\"%10Y\")",
        "\"1\" | strptime(\"%U\")",
        "[55555555] | implode",
        "[nan] | tojson",
        "\"[Infinity]\" | fromjson",
        "\"1\\u0000\" | fromjson, tonumber",
        "ldexp(1; 1e10)",
    ] {
        for caught in [format!("[({filter})?]"), format!("try ({filter}) catch 1")] {
            let reason = apply(&caught, "0").expect_err(&caught);
            let is_named = reason.message.contains("eventlift has") || reason.message.contains("not a number");
            assert!(is_named, "{caught}: {reason}");
        }
    }
    fails("fromjson? // 1", r#""{\"a\":1,\"a\":2}""#, "occurs twice");
    fails("fromjson? // 1", &format!("\"{}{}\"", "[".repeat(300), "]".repeat(300)), "nested deeper");
    // What jq refuses as well can be caught.
    yields("[(\"x\" | fromjson, tonumber)?, try implode catch 1]", "0", "[1]");
}

#[test]
fn numbers_are_exact_where_jq_has_floats() {
    yields("[. % 3, . - 1, . * 2]", "9007199254740993", "[0,9007199254740992,18014398509481986]");
    yields("[. % 3, . % 11]", "123456789012345678901234567890", "[0,7]");
    yields("[@text, @base64, @uri, tojson]", "1.10", r#"["1.10","MS4xMA==","1.10","1.10"]"#);
    yields("{(tostring): 1}", "1e2", r#"{"1e2":1}"#);
}

#[test]
fn base32_goes_there_and_back() {
    yields("[@base32, (@base32 | @base32d)]", "\"abc\"", r#"["MFRGG===","abc"]"#);
    yields("@base32d", "\"MFRGG\"", "\"abc\"");
    fails("@base32d", "\"1\"", "is not valid base32 data");
    yields("[toarray, ([1] | toarray)]", "0", "[[0],[1]]");
}

#[test]
fn what_only_the_interpreter_has_is_not_there() {
    for source in ["isnumber", "[.[] | key_values]", "@htmld", "matches(\"a\"; \"\")"] {
        let error = JqFilter::compile(source).expect_err(source);
        assert!(error.message.starts_with("there is no"), "{source}: {error}");
    }
    yields("def isnumber: 1; isnumber", "0", "1");
}

#[test]
fn what_jq_has_and_eventlift_has_not_in_the_source_says_so() {
    for source in ["[.1]", "1.", "\"\\ud83d\\ude00\""] {
        let error = JqFilter::compile(source).expect_err(source);
        assert!(error.message.contains("eventlift has not"), "{source}: {error}");
        assert!(error.hint.is_some(), "{source}");
    }
}

#[test]
fn regular_expressions_are_those_of_jq() {
    yields("[test(\"É\"; \"i\"), test(\"\\\\w\")]", "\"é\"", "[true,true]");
    yields("[test(\"a.b\"; \"s\"), test(\"a.b\"; \"p\"), test(\"^b\")]", "\"a\\nb\"", "[false,true,false]");
    yields("[test(\"b$\"), [match(\"$\"; \"g\").offset]]", "\"ab\\n\"", "[true,[2,3]]");
    yields("capture(\"(?<x>a)(?<y>z)?\")", "\"ab\"", r#"{"x":"a","y":null}"#);
    yields("[scan(\"(a)?(b)\")]", "\"bab\"", r#"[[null,"b"],["a","b"]]"#);
    yields("[test(\"(?=b)\"), test(\"(o)\\\\1\")]", "\"boo\"", "[true,true]");
    fails("test(\"a\"; \"l\")", "\"a\"", "flag l");
    fails("test(\"a\"; \"q\")", "\"a\"", "no flag");
    fails("test(\"[\")", "\"a\"", "not a regular expression");
    // Searching takes steps, and gives up.
    fails("test(\"^(a|a)*\\\\1c\")", &format!("\"{}b\"", "a".repeat(60)), "regular expression failed");
}

#[test]
fn need_names_the_path() {
    yields("need(.a.b)", r#"{"a":{"b":false}}"#, "false");
    fails("need(.a.b)", r#"{"a":{}}"#, ".a.b is needed, but missing or null");
    fails("need(.a[0][\"x y\"])", r#"{"a":[{"x y":null}]}"#, ".a[0][\"x y\"] is needed");
    fails("need(.a[])", r#"{"a":[]}"#, "is needed, but there is none");
    fails("need(.a + null)", r#"{"a":null}"#, "the value is needed");
    fails("{n: need(.name)}", "{}", ".name is needed");
}

#[test]
fn decimals_are_exact() {
    yields("dec_add(.a; .b)", r#"{"a":10.10,"b":0.20}"#, "10.30");
    yields("dec_add(.a; .b)", r#"{"a":"10.10","b":0.2}"#, "10.30");
    yields("dec_sub(.a; .b)", r#"{"a":0.3,"b":0.1}"#, "0.2");
    yields("dec_sub(.a; .b)", r#"{"a":1,"b":1.00}"#, "0.00");
    yields("dec_mul(.a; 3)", r#"{"a":19.99}"#, "59.97");
    yields("dec_add(.a; 1)", r#"{"a":9007199254740993.01}"#, "9007199254740994.01");
    yields("dec_add(.a; 1)", r#"{"a":1e2}"#, "101");
    yields("reduce .[] as $x (0; dec_add(.; $x))", "[0.10,0.20,0.30]", "0.60");
    fails("dec_add(.a; 1)", r#"{"a":null}"#, "not null");
    fails("dec_add(.a; 1)", r#"{"a":"1,5"}"#, "decimal");
    fails("dec_add(.a; 1)", r#"{"a":"NaN"}"#, "decimal");
    fails("dec_add(.a; 1)", r#"{"a":1e999999999}"#, "decimal");
    fails("dec_add(nan; 1)", "1", "decimal");
}

#[test]
fn impure_filters_do_not_compile() {
    let refused = [
        "env",
        "$ENV",
        "$ENV.PATH",
        "now",
        "localtime",
        "strflocaltime(\"%H\")",
        "halt",
        "halt(1)",
        "halt_error",
        "halt_error(1)",
        "input",
        "inputs",
        "debug",
        "debug(.)",
        "stderr",
        "input_filename",
        "input_line_number",
        "rand",
        "repl",
        "include \"a\"; .",
        "import \"a\" as a; .",
        "import \"a\" as $a; .",
    ];
    for source in refused {
        for nested in [source.to_owned(), format!("def f: def g: [{source}]; g; try f catch 1")] {
            if nested.contains(": [in") && nested.contains("a\"") || nested.contains("[import") {
                continue; // a directive stands at the start or is no directive
            }
            let error = JqFilter::compile(&nested).expect_err(&nested);
            assert!(error.message.contains("is refused"), "{nested}: {error}");
            assert!(error.hint.is_some());
        }
    }
    yields("def now: 5; now", "1", "5");
    yields("getpath([\"env\"])", r#"{"env":1}"#, "1");
    yields(".now", r#"{"now":1}"#, "1");
}

#[test]
fn errors_name_the_place() {
    let error = JqFilter::compile("{a: 1}\n| def f: 2;\n  f | nwo").unwrap_err();
    assert_eq!((error.line, error.column), (3, 7), "{error}");
    assert_eq!(error.to_string(), "3:7: there is no filter nwo (a field is written with a dot: .name)");
    let error = JqFilter::compile("\"ä\" | now").unwrap_err();
    assert_eq!((error.line, error.column), (1, 7), "{error}");
    for source in
        ["", "  ", "{", ".a |", "if . then", "\"abc", "1 ~ 2", ".a | $x", "break $x", "f(1)", "a::b", "}", "\"\\(\""]
    {
        assert!(!JqFilter::compile(source).expect_err(source).message.is_empty());
    }
}

#[test]
fn the_source_can_not_crash_the_compiler() {
    let sources = [
        "[".repeat(30_000),
        "(".repeat(30_000),
        "-".repeat(30_000),
        "-".repeat(30_000) + "1",
        "try ".repeat(8_000),
        "1|".repeat(15_000) + "1",
        "1,".repeat(15_000) + "1",
        "1+".repeat(15_000) + "1",
        "def f: ".repeat(4_000),
        "if 1 then ".repeat(3_000),
        "\"\\(".repeat(8_000),
        "[".repeat(10_000) + &"]".repeat(10_000),
        ". as [".repeat(5000),
        ".a".repeat(10_000),
        ".[".repeat(10_000),
        "reduce ".repeat(4_000),
        ". as $x|".repeat(4_000) + "1",
        "def f: 1; ".repeat(3_000) + "f",
        "x".repeat(40_000),
    ];
    for source in sources {
        if let Ok(filter) = JqFilter::compile(&source) {
            drop(filter.apply_data(&Payload::json("1")));
        }
    }
}

#[test]
fn runaways_are_stopped_and_named() {
    let runaways = [
        "def f: f; f",
        "def f: [f]; f",
        "def f: 1 + f; f",
        "def f: f | f; f",
        "def f: f, f; f",
        "def f: . |= f; f",
        "def f(g): f(g | g); f(.)",
        "[range(infinite)]",
        "last(repeat(1))",
        "until(false; .)",
        "reduce range(1e18) as $i (0; . + $i)",
        "[limit(1e12; repeat(1))]",
        "[range(1e9)]",
        "\"x\" * 1e10",
        "reduce range(100) as $i (\"x\"; . + .)",
        "reduce range(100) as $i ([1]; . + .)",
        "[recurse([.])] | length",
        "reduce range(100000) as $i (null; [.])",
        "reduce range(100000) as $i (null; {a: .})",
        "last(1 | recurse(. + 1))",
        "[while(true; .)]",
        "first(repeat(empty))",
        "[.[] , 1] | [combinations(100)]",
        "isempty(repeat(empty))",
        "try (until(false; .)) catch 1",
        "def f: try f catch f; f",
        "[repeat(try error catch empty)]",
        "(until(false; .))? // 1",
        "reduce range(60) as $i ([1]; [., .])",
        "reduce range(60) as $i ([1]; [., .]) | tojson",
        "reduce range(100) as $i (\"x\"; [., .] | tostring)",
        "[range(1000)] as $r | [$r[] | $r[] | $r[] | $r[]]",
        "[range(1000)] as $r | last($r[] as $a | $r[] as $b | $r[] as $c | $r[] as $d | 1)",
        "reduce repeat(1) as $x (0; .)",
        "foreach repeat(1) as $x (0; .; empty)",
        "limit(1; repeat(empty))",
        "first(range(1e18) | select(. < 0))",
        "[skip(1e15; repeat(1))]",
        "def f: reduce 1 as $x (.; f); f",
        "label $l | repeat(1) | select(. > 1)",
        "def f: {a: f}; f",
        "def f: \"\\(f)\"; f",
        "def f: -f; f",
        "def f: if f then 1 else 2 end; f",
        "def f(g): f(g); f(.)",
        "def f(g; $x): if $x < 0 then g else f(g; $x + 1) end; f(.; 0)",
        "def f(g; $x): if $x > 20000 then g else f(g; $x + 1) end; f(.; 0)",
        "def f(g): def h: f(g | .); h; f(.)",
        "reduce range(60) as $i ([1]; [., .]) | (. | tostring) == 1",
        "reduce range(60) as $i ([1]; [., .]) | sort_by([.,.]|tojson)",
        "[1 | (1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)|(1,2)]",
    ];
    for source in runaways {
        let filter = JqFilter::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let started = Instant::now();
        let reason = filter.apply_data(&Payload::json("[1,2]")).expect_err(source);
        let took = started.elapsed();
        assert!(reason.message.contains("the jq filter ran away"), "{source}: {reason}");
        assert!(reason.hint.is_some(), "{source}");
        assert!(took < Duration::from_secs(20), "{source} took {took:?}");
    }
}

#[test]
fn every_limit_has_its_reason() {
    let fails_with = |limits, source: &str, expected: &str| {
        let filter = JqFilter::compile_with(source, limits).unwrap();
        let reason = filter.apply_data(&Payload::json("1")).unwrap_err();
        assert!(reason.message.contains(expected), "{source}: {reason}");
    };
    let limits = JqLimits::default();
    fails_with(limits, "until(false; .)", "more than 1000000 steps");
    fails_with(
        JqLimits { time: Duration::from_millis(20), steps: u64::MAX, ..limits },
        "until(false; .)",
        "longer than 20ms",
    );
    fails_with(JqLimits { memory: 1 << 20, ..limits }, "\"x\" * 2000000", "more than 1048576 bytes of memory");
    fails_with(JqLimits { memory: 1 << 20, ..limits }, "[range(1e6)]", "more than 1048576 bytes of memory");
    fails_with(limits, "def f: 1 + f; f", "bytes of stack");
    fails_with(JqLimits { depth: 8, ..limits }, "reduce range(20) as $i (null; [.])", "deeper than 16 levels");
}

#[test]
fn small_stacks_do() {
    let thread = std::thread::Builder::new().stack_size(128 << 10);
    let handle = thread.spawn(|| {
        yields("[recurse(if . < 100 then . + 1 else empty end)] | length", "1", "100");
        fails("def f: [f]; f", "1", "ran away");
    });
    handle.unwrap().join().unwrap();
}

#[test]
fn nesting_that_goes_and_comes_back_is_no_runaway() {
    yields("reduce range(3000) as $i ({p: 1}; {p: (. | del(.p))}) | 1", "1", "1");
    yields("reduce range(2000) as $i ({a: 0}; .a = [.a] | .a = .a[0])", "1", r#"{"a":0}"#);
}

#[test]
fn a_large_payload_is_fine() {
    let items: Vec<String> = (0..200_000).map(|i| format!(r#"{{"id":{i},"price":10.10}}"#)).collect();
    let data = format!(r#"{{"items":[{}],"x":1}}"#, items.join(","));
    // However busy the machine is; steps and memory are those of a rule.
    let limits = JqLimits { time: Duration::from_secs(600), ..JqLimits::default() };
    let apply = |filter: &str| {
        let filter = JqFilter::compile_with(filter, limits).unwrap();
        let data = filter.apply_data(&Payload::json(data.clone())).unwrap();
        String::from_utf8(data.bytes().to_vec()).unwrap()
    };
    let changed = apply(".x = 2");
    assert_eq!(changed, data.replace("\"x\":1", "\"x\":2"));
    let mapped = apply(".items |= map(.id += 1)");
    assert!(mapped.starts_with(r#"{"items":[{"id":1,"price":10.10},{"id":2,"#), "{}", &mapped[..60]);
}

fn event(data: &str) -> Event {
    Event {
        id: EventId::text("e-1").unwrap(),
        stream: "user-1".parse().unwrap(),
        revision: Revision(7),
        position: Position::new(7),
        event_type: EventType::new("UserCreated").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(data.to_owned()),
        metadata: Payload::json(r#"{ "by": 10.10 }"#),
        recorded_at: "2024-05-01T12:00:00Z".parse::<Timestamp>().unwrap(),
        attributes: bytes::Bytes::from_static(b"{\"k\":1}"),
    }
}

fn events(filter: &str, event: &Event) -> Result<Vec<Event>, Reason> {
    let filter = JqFilter::compile(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    showing_values(|| filter.apply_event(event))
}

fn evaluate(filter: &str, inputs: &[(&str, JqInput<'_>)], max: usize) -> Result<Vec<String>, Reason> {
    let filter = JqFilter::compile(filter).unwrap_or_else(|error| panic!("{filter}: {error}"));
    showing_values(|| filter.evaluate(inputs, max))
}

#[test]
fn inputs_are_one_object_in_their_order() {
    let event = event(r#"{ "amount": 10.10 }"#);
    let inputs = [("z", JqInput::Json(" 1.50 ")), ("event", JqInput::Event(&event)), ("a", JqInput::Json("null"))];
    assert_eq!(evaluate("keys_unsorted", &inputs, 1).unwrap(), [r#"["z","event","a"]"#]);
    let seen = r#"{"type":"UserCreated","version":1,"stream":"user-1","id":"#;
    let shown = evaluate(".event", &inputs, 1).unwrap();
    assert!(shown[0].starts_with(seen), "{}", shown[0]);
    assert!(shown[0].ends_with(r#","data":{ "amount": 10.10 },"metadata":{ "by": 10.10 }}"#), "{}", shown[0]);
    let mut without = event.clone();
    without.metadata = Payload::empty();
    let inputs = [("event", JqInput::Event(&without))];
    assert_eq!(evaluate(".event | has(\"metadata\")", &inputs, 1).unwrap(), ["false"]);
}

#[test]
fn attributes_are_a_part_of_the_event() {
    let mut event = event("{}");
    event.attributes = bytes::Bytes::from_static(br#"{"clientip":"10.0.0.1","n":1.0,"tenant":"x"}"#);
    let attributes =
        |filter: &str| events(filter, &event).map(|made| String::from_utf8(made[0].attributes.to_vec()).unwrap());
    let whole = std::str::from_utf8(&event.attributes).unwrap();
    assert_eq!(attributes(".").unwrap(), whole);
    assert_eq!(attributes("{type: \"Other\"}").unwrap(), whole);
    assert_eq!(attributes(".attributes |= del(.clientip)").unwrap(), r#"{"n":1.0,"tenant":"x"}"#);
    assert_eq!(attributes(".attributes = {n: .attributes.n}").unwrap(), r#"{"n":1.0}"#);
    assert_eq!(attributes(".attributes = {}").unwrap(), "");
    assert_eq!(attributes(".attributes = null").unwrap(), "");
    assert!(attributes(".attributes = [1]").unwrap_err().message.contains("attributes are an array"));
    let made = events(".data = {tenant: .attributes.tenant}", &event).unwrap();
    assert_eq!(made[0].data.bytes(), r#"{"tenant":"x"}"#);
    event.attributes = Default::default();
    assert_eq!(evaluate(".event | has(\"attributes\")", &[("event", JqInput::Event(&event))], 1).unwrap(), ["false"]);
}

#[test]
fn results_keep_digits_and_what_was_not_touched() {
    let event = event(r#"{"amount":0.10,"big":12345678901234567890123}"#);
    let state = r#"{"total":10.10,"seen":[ 1.0 ,2e3, -0 ],"s":"\ud800 \u00e9 \/","twice":{"k":1,"k":2}}"#;
    let inputs = [("state", JqInput::Json(state)), ("event", JqInput::Event(&event))];
    let filter =
        ".event.data as $data | .state | .total = dec_add(.total; $data.amount) | .big = $data.big | .by = 1.0";
    let expected = r#"{"total":10.20,"seen":[ 1.0 ,2e3, -0 ],"s":"\ud800 \u00e9 \/","twice":{"k":1,"k":2},"big":12345678901234567890123,"by":1.0}"#;
    assert_eq!(evaluate(filter, &inputs, 1).unwrap(), [expected]);
    assert_eq!(evaluate(".state", &inputs, 1).unwrap(), [state]);
    // Metadata is a source of its own, also behind other inputs.
    assert_eq!(evaluate("[.event.metadata, .event.data.amount]", &inputs, 1).unwrap(), [r#"[{ "by": 10.10 },0.10]"#]);
    let reason = evaluate(".state.twice.k = 3", &inputs, 1).unwrap_err();
    assert!(reason.message.contains("a key occurs twice"), "{reason}");
}

#[test]
fn there_are_no_more_results_than_asked_for() {
    let inputs = [("a", JqInput::Json("1.0")), ("b", JqInput::Json("2.00"))];
    assert_eq!(evaluate(".a, .b", &inputs, 2).unwrap(), ["1.0", "2.00"]);
    assert_eq!(evaluate("empty", &inputs, 0).unwrap(), [""; 0]);
    let too_many = |filter: &str, max: usize| evaluate(filter, &inputs, max).unwrap_err().message;
    assert_eq!(too_many(".a, .b", 1), "the jq filter yielded more than 1 value");
    assert_eq!(too_many(".a, .b, .a", 2), "the jq filter yielded more than 2 values");
    // Those that nobody asked for are not made.
    assert_eq!(too_many("repeat(.)", 3), "the jq filter yielded more than 3 values");
    assert_eq!(evaluate(".a", &inputs, usize::MAX).unwrap(), ["1.0"]);
}

#[test]
fn evaluations_are_bounded_as_well() {
    let limits = JqLimits { steps: 20_000, memory: 1 << 20, ..JqLimits::default() };
    let input = [("a", JqInput::Json("1"))];
    for runaway in ["until(false; .)", "repeat(.)", "def f: [f]; f", "try until(false; .) catch 1"] {
        let reason = JqFilter::compile_with(runaway, limits).unwrap().evaluate(&input, usize::MAX).unwrap_err();
        assert!(reason.message.starts_with("the jq filter ran away"), "{runaway}: {reason}");
    }
    let text = format!("\"{}\"", "x".repeat(100_000));
    let inputs = [("a", JqInput::Json(&text))];
    // Each result fits, all of them together don't.
    let filter = JqFilter::compile_with("range(20) as $i | {$i, a}", limits).unwrap();
    let reason = filter.evaluate(&inputs, 100).unwrap_err();
    assert!(reason.message.contains("more than 1048576 bytes of memory"), "{reason}");
}

#[test]
fn input_that_is_written_many_times_counts_every_time() {
    let filter = JqFilter::compile_with(
        ". as $text | [range(1000) | $text]",
        JqLimits { memory: 1 << 20, ..JqLimits::default() },
    )
    .unwrap();
    let text = format!("\"{}\"", "x".repeat(10_000));
    let reason = filter.apply_data(&Payload::json(text.clone())).unwrap_err();
    assert!(reason.message.contains("more than 1048576 bytes of memory"), "{reason}");
    let reason = filter.evaluate(&[("a", JqInput::Json(&text))], 1).unwrap_err();
    assert!(reason.message.contains("more than 1048576 bytes of memory"), "{reason}");
    // Unless it is all there is to write.
    let large = format!("\"{}\"", "x".repeat(2 << 20));
    let filter = JqFilter::compile_with(".", JqLimits { memory: 1 << 20, ..JqLimits::default() }).unwrap();
    assert_eq!(filter.apply_data(&Payload::json(large.clone())).unwrap(), Payload::json(large));
}

#[test]
fn inputs_that_are_wrong_are_named() {
    let message = |inputs: &[(&str, JqInput<'_>)]| evaluate(".", inputs, 1).unwrap_err().message;
    assert!(message(&[("state", JqInput::Json("{\"a\":01}"))]).starts_with("state is not valid json: "));
    assert!(message(&[("state", JqInput::Json(""))]).starts_with("state is not valid json: "));
    assert!(message(&[("state", JqInput::Json("1 2"))]).starts_with("state is not valid json: "));
    let twice = [("a", JqInput::Json("1")), ("a", JqInput::Json("2"))];
    assert_eq!(message(&twice), "the jq filter has two inputs a");
    let mut image = event("");
    image.data = Payload::new("x", ContentType::parse("image/png"));
    assert_eq!(message(&[("event", JqInput::Event(&image))]), "the data is image/png, and jq needs json");
}

#[test]
fn events_become_events() {
    let before = event(r#"{ "name": "A", "n": 1.0 }"#);
    assert_eq!(events(".", &before).unwrap(), std::slice::from_ref(&before));
    assert_eq!(events("{}", &before).unwrap(), std::slice::from_ref(&before));
    assert_eq!(events("empty", &before).unwrap(), []);

    let split =
        events("{type: \"A\", data: {a: .data.name}}, {type: \"B\", version: 2, stream: \"b-1\"}", &before).unwrap();
    assert_eq!(split.len(), 2);
    assert_eq!(split[0].event_type.as_str(), "A");
    assert_eq!(&split[0].data.bytes()[..], br#"{"a":"A"}"#);
    assert_eq!(split[0].metadata, before.metadata);
    assert_eq!((split[1].version.number(), split[1].stream.as_str()), (2, "b-1"));
    assert_eq!(split[1].data, before.data);
    for part in &split {
        assert_eq!((&part.id, part.revision, part.position), (&before.id, before.revision, before.position));
        assert_eq!((part.recorded_at, &part.attributes), (before.recorded_at, &before.attributes));
    }

    let moved = events(".metadata.n = .data.n | .data.m = .metadata", &before).unwrap();
    assert_eq!(&moved[0].metadata.bytes()[..], br#"{"by":10.10,"n":1.0}"#);
    assert_eq!(&moved[0].data.bytes()[..], br#"{"name":"A","n":1.0,"m":{"by":10.10,"n":1.0}}"#);
    let swapped = events("{data: .metadata, metadata: .data}", &before).unwrap();
    assert_eq!((&swapped[0].data, &swapped[0].metadata), (&before.metadata, &before.data));
}

#[test]
fn outputs_that_are_no_events_are_refused() {
    let before = event("{}");
    for (filter, expected) in [
        ("1", "a number where it must yield events"),
        ("[.]", "an array"),
        ("{types: 1}", "the key \"types\""),
        (".id = \"x\"", "changed id"),
        (".revision += 1", "changed revision"),
        (".recorded_at = \"2024-05-01T12:00:01Z\"", "changed recorded_at"),
        (".type = \"\"", "event type"),
        (".type = 1", "type is 1"),
        (".version = 0", "version is 0"),
        (".version = 1.5", "version is 1.5"),
        (".version = \"2\"", "version is \"2\""),
        (".stream = null", "stream is null"),
        (".data.a = nan", "not a number"),
        ("repeat(.)", "more than 100000 events"),
        ("until(false; .)", "ran away"),
    ] {
        let reason = events(filter, &before).expect_err(filter);
        assert!(reason.message.contains(expected), "{filter}: {reason}");
    }
}

#[test]
fn an_event_without_data_has_none() {
    let mut before = event("");
    before.metadata = Payload::empty();
    assert_eq!(events(".", &before).unwrap(), std::slice::from_ref(&before));
    assert_eq!(events("has(\"data\") | not | {type: tostring}", &before).unwrap()[0].event_type.as_str(), "true");
    let filled = events(".data = null", &before).unwrap();
    assert_eq!(&filled[0].data.bytes()[..], b"null");
    let mut binary = event("");
    binary.data = Payload::binary(&b"\x00"[..]);
    assert!(events(".", &binary).unwrap_err().message.contains("octet-stream"));
}

#[test]
fn long_filters_fit_the_stack() {
    const LONG: usize = 380;
    let chain = |part: &str, last: &str| part.repeat(LONG) + last;
    let list = |part: &str| vec![part; LONG].join(", ");
    let sources = [
        chain("1 | ", "1"),
        chain("1 + ", "1"),
        chain("null // ", "1"),
        chain("false or ", "true"),
        chain(". as $x | ", "$x"),
        chain(".a", ""),
        chain("[", "") + &"]".repeat(LONG),
        chain("if . then ", "1") + &" end".repeat(LONG),
        chain("if null then 1 else ", "1") + &" end".repeat(LONG),
        format!("if false then 1 {} else 2 end", "elif false then 1 ".repeat(LONG)),
        format!("{{{}}}", list("a: 1")),
        format!("\"{}\"", "\\(1)".repeat(LONG)),
        format!(". as [{}] | 1", list("$a")),
        chain("try (", "1") + &")".repeat(LONG),
        chain("first(", "1") + &")".repeat(LONG),
        chain("[1] | .[", "0") + &"]".repeat(LONG),
        chain("-(", "1") + &")".repeat(LONG),
        chain("reduce 1 as $x (0; ", "1") + &")".repeat(LONG),
        chain("label $l | ", "1"),
        chain("[.[]?] | map(", ".") + &")".repeat(LONG),
        format!("{} |= 1", chain(".a", "")),
        format!("[{}]", list("1")),
    ];
    for source in sources {
        for source in [source.clone(), format!("def f: ({source}) as $x | [f]; f")] {
            if let Ok(filter) = JqFilter::compile(&source) {
                drop(filter.apply_data(&Payload::json("null")));
            }
        }
    }
}

/// JSON text with everything that is awkward: odd numbers, escapes, whitespace.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,25})",
        "-?(0|[1-9][0-9]{0,5})\\.[0-9]{1,20}",
        "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?[eE][+-]?[0-9]{1,3}",
        text(),
    ];
    scalar.prop_recursive(4, 40, 6, |inner| {
        let entry = (text(), space(), inner.clone());
        prop_oneof![
            (space(), prop::collection::vec(inner, 0..6))
                .prop_map(|(space, items)| { format!("[{space}{}{space}]", items.join(&format!("{space},"))) }),
            (space(), prop::collection::vec(entry, 0..6)).prop_map(|(space, entries)| {
                // Keys are numbered so that none occurs twice.
                let entries: Vec<String> = entries
                    .iter()
                    .enumerate()
                    .map(|(i, (key, space, value))| format!("\"{i}{}{space}:{space}{value}", &key[1..]))
                    .collect();
                format!("{{{space}{}{space}}}", entries.join(&format!(",{space}")))
            }),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[ a-zäß😀]{0,4}",
        Just("\\ud800".to_owned()),
        Just("\\uDC00x".to_owned()),
        Just("\\u0000".to_owned()),
        Just("\\ud83d\\ude00".to_owned()),
        Just("\\/\\\"\\\\\\n\\u00E9\\b".to_owned()),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(""), Just(" "), Just("\n\t ")]
}

proptest! {
    #[test]
    fn identity_returns_the_same_bytes(data in json(), space in space()) {
        let data = format!("{space}{data}{space}");
        prop_assert_eq!(apply(".", &data).unwrap(), data.clone());
        prop_assert_eq!(apply("walk(.)", &data).unwrap(), data);
    }

    #[test]
    fn assigning_changes_nothing_else(a in json(), x in json(), b in json()) {
        let data = format!("{{\"a\":{a},\"x\":{x},\"b\":{b}}}");
        prop_assert_eq!(apply(".x = {new: 1}", &data).unwrap(), format!("{{\"a\":{a},\"x\":{{\"new\":1}},\"b\":{b}}}"));
        prop_assert_eq!(apply("del(.a)", &data).unwrap(), format!("{{\"x\":{x},\"b\":{b}}}"));
        prop_assert_eq!(apply("{moved: [.b]}", &data).unwrap(), format!("{{\"moved\":[{b}]}}"));
        prop_assert_eq!(apply("with_entries(.key += \"2\")", &data).unwrap(), format!("{{\"a2\":{a},\"x2\":{x},\"b2\":{b}}}"));
    }

    #[test]
    fn what_is_written_reads_as_the_same(data in json()) {
        // Made anew, without the original bytes.
        let made = apply("tojson | fromjson", &data).unwrap();
        let same: bool = apply("(.a | tojson) == (.b | tojson)", &format!("{{\"a\":{data},\"b\":{made}}}")).unwrap() == "true";
        prop_assert!(same, "{} became {}", data, made);
    }

    #[test]
    fn any_source_and_any_data_are_survived(source in "[-.a|,\\[\\](){}0-9 $\"?/+*:;]{0,30}", data in "\\PC{0,20}") {
        if let Ok(filter) = JqFilter::compile(&source) {
            drop(filter.apply_data(&Payload::json(data)));
        }
    }
}
