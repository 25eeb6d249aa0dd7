//! A server that stands for KurrentDB: the protocol of its version 25.0 over a log in memory, with faults on demand.

#![allow(unused_imports, dead_code, reason = "whoever includes the server uses what it needs")]

mod append;
mod batch;
mod cluster;
mod connections;
mod counters;
mod database;
mod exceptions;
mod faults;
mod filter;
mod messages;
mod noise;
mod read;
mod retention;
mod server;
mod service;
mod subscribe;
mod tls;

pub(crate) use cluster::KurrentCluster;
pub(crate) use counters::Counts;
pub(crate) use database::{Appended, Database, Expected, LogPosition, NewEvent, Record, Refused, Transaction};
pub(crate) use faults::{Fate, Faults, ReadFate};
pub(crate) use server::{KurrentServer, ServerOptions, User};
