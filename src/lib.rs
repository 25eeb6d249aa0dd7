//! eventlift.
