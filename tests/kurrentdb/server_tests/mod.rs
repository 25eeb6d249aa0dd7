//! The server that stands for KurrentDB, through the client that its makers publish.

mod access;
mod appends;
mod deletions;
mod disturbed;
mod reads;
mod subscriptions;
mod talk;
