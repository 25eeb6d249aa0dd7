//! Our own layout.
