//! Files of events, one JSON object a line.

use eventlift::events::{EventReader, ReadRequest, Scope};
use eventlift::stores::file::{FileConfig, FileReader};
use futures_util::TryStreamExt;

use super::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "event_file",
    dictionary: &[
        "\"id\":\"a\"",
        "\"type\":\"A\"",
        "\"stream\":\"a-1\"",
        "\"subject\":",
        "\"revision\":0",
        "\"sequence\":",
        "\"data\":{}",
        "\"data_base64\":\"YQ==\"",
        "\"datacontenttype\":\"text/plain\"",
        "\"time\":\"2024-01-01T00:00:00Z\"",
        "\"specversion\":\"1.0\"",
        "\"source\":\"/a\"",
        "null",
        "\n",
        "\r\n",
        "\u{feff}",
        "{",
        "}",
        ",",
        "\\u0000",
        "\\ud800",
    ],
    always: 500,
    run,
};

thread_local! {
    static FILE: (tempfile::TempDir, tokio::runtime::Runtime) = (
        tempfile::tempdir().unwrap(),
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
    );
}

fn run(input: &[u8]) -> Result<String, String> {
    FILE.with(|(folder, runtime)| {
        let path = folder.path().join("events.ndjson");
        std::fs::write(&path, input).unwrap();
        let reader = match FileReader::open(FileConfig::new(&path)) {
            Ok(reader) => reader,
            Err(error) => return Ok(error.to_string()),
        };
        let batches =
            runtime.block_on(async { reader.read(ReadRequest::new(Scope::All)).try_collect::<Vec<_>>().await });
        match batches {
            Ok(batches) => Ok(format!("read, {}", if batches.is_empty() { "nothing" } else { "something" })),
            Err(error) => {
                let message = error.to_string();
                Ok(message.replace(&path.display().to_string(), ""))
            }
        }
    })
}
