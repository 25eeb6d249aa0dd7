//! How fast a run may be: decided in simulated time, and held by real runs.

mod controller;
mod running;
