//! The backuper's binary.

fn main() {}
