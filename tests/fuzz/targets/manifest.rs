//! The manifest of a backup: one that is read is written so that it reads the same.

#![no_main]

use backuper::archive::manifest::Manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Manifest::read(bytes) {
        let written = manifest.write().expect("what was read is written");
        assert_eq!(
            Manifest::read(&written).expect("what was written is read"),
            manifest
        );
    }
});
