//! `make demo`: a database comes back.

fn main() {}
