//! What is written wrong in `eventlift.toml`.

use super::bench::{Bench, INTO, READ_MODELS, good};

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn keys_and_values() {
    let mut bench = Bench::new(INTO).await;
    bench.write("events.ndjson", good());
    let wrong = [
        ("no such column type", "data = \"xml\""),
        ("a key that is almost one", "statement_timout = \"5s\""),
        ("a key of another store", "path = \"target.db\""),
        ("no duration", "statement_timeout = \"soon\""),
        ("an empty name", "table = \"\""),
        ("two passwords", "password_env = \"A\"\npassword_file = \"b\""),
        ("no such variable", "password_env = \"EVENTLIFT_NOBODY_SETS_THIS\""),
    ];
    for (what, keys) in wrong {
        bench.configure(&format!("{INTO}{keys}\n")).about(what).shows("migrate p").shows("check p");
    }
    let urls = [
        ("no scheme", "127.0.0.1/shop"),
        ("no scheme, with a password", "anna:s3cret@127.0.0.1/shop"),
        ("another scheme", "mysql://anna:s3cret@127.0.0.1/shop"),
        ("a parameter that is none", "postgres://anna:s3cret@127.0.0.1/shop?sslmod=require"),
        ("a password that ends early", "postgres://anna:s3c/s3cret@127.0.0.1/shop"),
        ("a port that is none", "postgres://anna:s3cret@127.0.0.1:port/shop"),
    ];
    for (what, url) in urls {
        bench.configure(&INTO.replace("URL", url)).about(what).shows("migrate p");
    }
    bench.configure(&format!("{READ_MODELS}table = \"t\"\n")).about("read models have no table").shows("rebuild p");
    let no_url = INTO.replace("url = \"URL\"", "store = \"postgres\"");
    bench.configure(&no_url).about("no url").shows("migrate p");
    bench.configure(INTO).works("migrate p").works("verify p").is("configuration");
}
