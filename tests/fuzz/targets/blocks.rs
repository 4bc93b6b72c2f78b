//! The rows of an archive: what is copied once with joined blocks stays as it is when it is copied again.

#![no_main]

use restorer::archive::blocks;
use restorer::archive::toc::Toc;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut joined = Vec::new();
    if blocks::copy(bytes, &mut joined).is_ok() {
        assert_eq!(
            Toc::read(&joined),
            Toc::read(bytes),
            "another table of contents"
        );
        let mut again = Vec::new();
        blocks::copy(&*joined, &mut again).expect("its own copy");
        assert_eq!(again, joined, "another copy");
    }
});
