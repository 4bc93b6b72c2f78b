//! The table of contents of an archive: whatever the bytes, it is read or refused, and by both readers.

#![no_main]

use restorer::archive::toc::{Entry, Layout, Toc};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let read = Toc::read(bytes);
    assert_eq!(read.is_ok(), Layout::of(bytes).is_ok(), "two verdicts");
    if let Ok(toc) = read {
        // What a restore asks of it.
        let large_objects = toc.entries.iter().map(Entry::large_objects);
        let asked = (large_objects.count(), toc.dropped().count(), toc.tables());
        drop((asked, toc.dump_major(), toc.server_major()));
    }
});
