//! What the filters are run on: everything that is awkward, and what a fixed seed makes of it.

/// Numbers, the awkward ones.
const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "10",
    "65",
    "128",
    "300",
    "0.5",
    "1.5",
    "-1.5",
    "-0.5",
    "2.1",
    "5.9",
    "0.1",
    "1e-3",
    "1e10",
    "1425599621",
    "1425599621.678",
    "-86400",
    "1.10",
    "3.0",
    "1e2",
    "1e17",
];

/// JSON texts that hold text.
const TEXTS: &[&str] = &[
    r#""""#,
    r#""a""#,
    r#""b""#,
    r#""ab""#,
    r#""aab""#,
    r#""abc""#,
    r#""abcabc""#,
    r#""A""#,
    r#""aXbxc""#,
    r#"" a ""#,
    r#""a,b, c""#,
    r#"", ""#,
    r#""a.c""#,
    r#""é""#,
    r#""äöü ß""#,
    r#""É""#,
    r#""a€b""#,
    r#""😀""#,
    r#""x😀y""#,
    r#""1""#,
    r#"" 1""#,
    r#""1 ""#,
    r#""1.50""#,
    r#""+1""#,
    r#""01""#,
    r#"".5""#,
    r#""1.""#,
    r#""1e3""#,
    r#""-""#,
    r#""0x10""#,
    r#""nan""#,
    r#""null""#,
    r#""true""#,
    r#""[1,2]""#,
    r#""{\"a\":1}""#,
    r#""{\"a\":1""#,
    r#""1 2""#,
    r#""\t\n\r\"\\\u0000""#,
    r#""line\nline\n""#,
    r#""'it''s'""#,
    r#""<a href='x'>&amp;</a>""#,
    r#""a b+c%20&d=/?""#,
    r#""YWI=""#,
    r#""MFRGG===""#,
    r#""2015-03-05T23:51:47Z""#,
    r#""2015-03-05""#,
    r#""05/03/2015 23:51""#,
    r#""2024-02-30T00:00:00Z""#,
    r#""foo bar foo""#,
    r#""a1b22c333""#,
    r#""030 123""#,
    r#""+49 30 1""#,
    r#""_""#,
    r#""\u00e9\ud83d\ude00""#,
];

/// Everything else.
const OTHERS: &[&str] = &[
    "null",
    "true",
    "false",
    "[]",
    "{}",
    "[1]",
    "[null]",
    "[[]]",
    "[1,2,3]",
    "[3,1,2,1]",
    "[1,1,1]",
    r#"["a","b"]"#,
    r#"["b","a","c","a"]"#,
    "[null,1,\"a\",true,[1],{\"a\":1}]",
    "[false,null,0,\"\"]",
    "[[1,2],[3,4]]",
    "[[1],[2,[3]]]",
    "[1,[2,[3,[4]]]]",
    "[0.5,1.5,2.5]",
    r#"[{"a":1},{"a":2,"b":1},{"a":1,"b":0}]"#,
    r#"[{"a":null},{"b":1},{}]"#,
    r#"{"a":1}"#,
    r#"{"b":2,"a":1}"#,
    r#"{"a":null}"#,
    r#"{"a":false,"b":2}"#,
    r#"{"a":{"b":1}}"#,
    r#"{"a":{"b":null}}"#,
    r#"{"a":[1,2,3]}"#,
    r#"{"a":[{"b":1},{"b":2}],"c":{"a":1}}"#,
    r#"{"a":"x","b":["y"]}"#,
    r#"{"x":{"y":{"z":1}}}"#,
    r#"{"":0," ":1,"é":2}"#,
    r#"[["a",1],["b",2]]"#,
    r#"[["a","b"],["a"]]"#,
    r#"[{"key":"k","value":1}]"#,
    r#"[{"name":"n","value":null},{"k":"K"}]"#,
    r#"{"start":1,"end":2}"#,
    "[65,66,233]",
    "[1425599621]",
    "[2015,2,5,23,51,47,4,63]",
    "[[0],1]",
    r#"[1,"x",null,true,1.5]"#,
    r#"{"a":1,"b":1,"c":2}"#,
    "[[[1]],[[2]]]",
];

fn all() -> Vec<String> {
    NUMBERS.iter().chain(TEXTS).chain(OTHERS).map(|text| (*text).to_owned()).collect()
}

/// The inputs of a section, each an object with `x`, `a` and `b`.
pub(super) fn of(section: &str) -> Vec<String> {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let some = all();
    let input = |x: &str, a: &str, b: &str| format!("{{\"x\":{x},\"a\":{a},\"b\":{b}}}");
    let numbers = ["9007199254740993", "-9007199254740993", "1e300", "123456789012345678901234567890", "1e-300", "2.5"];
    match section {
        "any" => {
            let made = (0..80).map(|_| random.value(&some, 3)).collect::<Vec<_>>();
            some.iter().chain(&made).map(|x| input(x, "1", "2")).collect()
        }
        "text" => {
            let made = (0..120).map(|_| random.text()).collect::<Vec<_>>();
            TEXTS.iter().copied().chain(made.iter().map(String::as_str)).map(|x| input(x, "1", "2")).collect()
        }
        "number" => NUMBERS.iter().chain(&numbers).map(|x| input(x, "1", "2")).collect(),
        "pair" => {
            // Every pair of some, and random pairs of all.
            let few: Vec<&String> = some.iter().step_by(4).collect();
            let mut pairs: Vec<String> = few.iter().flat_map(|x| few.iter().map(move |a| input(x, a, "2"))).collect();
            for _ in 0..400 {
                let (x, a) = (random.value(&some, 2), random.value(&some, 1));
                pairs.push(input(&x, &a, "2"));
            }
            pairs
        }
        other => panic!("there are no inputs for the section {other}"),
    }
}

/// A generator that is the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn value(&mut self, some: &[String], depth: usize) -> String {
        let kind = if depth == 0 { 0 } else { self.below(4) };
        match kind {
            0 | 1 => some[self.below(some.len())].clone(),
            2 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.value(some, depth - 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => {
                let entries: Vec<String> = ["a", "b", "c", "key", "value", "é"]
                    .iter()
                    .filter_map(|key| match self.below(2) {
                        0 => Some(format!("\"{key}\":{}", self.value(some, depth - 1))),
                        _ => None,
                    })
                    .collect();
                format!("{{{}}}", entries.join(","))
            }
        }
    }

    fn text(&mut self) -> String {
        const PARTS: &[&str] =
            &["a", "b", "ab", "A", "1", "22", " ", ",", ", ", "é", "😀", "\\n", "-", ".", "_", "x", "\\\"", "aa"];
        let parts: Vec<&str> = (0..self.below(7)).map(|_| PARTS[self.below(PARTS.len())]).collect();
        format!("\"{}\"", parts.concat())
    }
}
