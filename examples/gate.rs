//! A service that asks a gate before it writes.
//!
//! `cargo run --features gate --example gate`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use eventlift::gate::{GateLayer, GateSettings, MigrationGate, WriteTo};
use eventlift::stores::StoreConfig;
use eventlift::stores::sqlite::SqliteConfig;
use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

/// The service: it writes to the store that the gate names.
#[derive(Clone)]
struct Orders;

impl Service<Request<String>> for Orders {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Ready<Result<Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<String>) -> Self::Future {
        let answer = match request.extensions().get::<WriteTo>() {
            Some(WriteTo::Target) => "written to the new store",
            Some(WriteTo::Source) => "written to the old store",
            None => "read",
        };
        ready(Ok(Response::new(answer.to_owned())))
    }
}

/// What [`Service::call`] of a service behind a gate returns.
type Answering = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

async fn run() -> Result<Vec<String>, Box<dyn Error>> {
    // The target of the migration; there is nothing in it yet, so writes go to the source.
    let folder = tempfile::tempdir()?;
    let target = StoreConfig::Sqlite(SqliteConfig::new(folder.path().join("target.db")));
    let gate = MigrationGate::of_target(target, GateSettings::default());

    // By itself:
    let mut said = Vec::new();
    match gate.check().await {
        Ok(write_to) => said.push(format!("write to the {write_to}")),
        Err(fenced) => said.push(format!("not now; ask again in {:?}", fenced.retry_after)),
    }

    // In front of a service:
    let mut orders = GateLayer::new(gate).layer(Orders);
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri("/orders").body(String::new())?;
        let answering: Answering = orders.call(request);
        said.push(format!("{method}: {}", answering.await?.body()));
    }
    Ok(said)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let said = run().await?;
    assert_eq!(said, ["write to the source", "GET: read", "POST: written to the old store"]);
    for line in said {
        println!("{line}");
    }
    Ok(())
}

#[test]
fn it_does_what_it_says() -> Result<(), Box<dyn Error>> {
    main()
}
