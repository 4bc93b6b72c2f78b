//! A script that people wrote, on its way into our transaction: it is copied or refused, and in what is
//! copied there is nothing left to refuse.

#![no_main]

use std::io;

use restorer::in_place::script;
use restorer::resolve::Encoding;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for restricted in [false, true] {
        let copy = |mut script: &[u8]| -> io::Result<Vec<u8>> {
            let mut copied = Vec::new();
            script::copy(&mut script, Encoding::Plain, restricted, &mut copied)?;
            Ok(copied)
        };
        if let Ok(copied) = copy(bytes) {
            copy(&copied).expect("what was let through is let through again");
        }
    }
});
