//! Small disks that fill up.

use std::path::{Path, PathBuf};

use super::folder;
use super::programs::Prepared;

/// A small disk, gone with the value.
pub struct Disk(PathBuf);

impl Disk {
    /// An empty one. Only root may mount it.
    pub fn of(mebibytes: u32) -> Self {
        let place = folder("disk");
        Prepared::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(&place)
            .succeed();
        Self(place)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Lets nobody write any more until [`Disk::give_room`]; of all room, leaves this much.
    pub fn fill_up_to(&self, mebibytes: u64) {
        use std::io::Write as _;
        let mut filler = std::fs::File::create(self.filler()).expect("a new file");
        let block = vec![0; 4096];
        // The end of the disk is what it is for.
        while filler.write_all(&block).is_ok() {}
        drop(filler);
        let filler = std::fs::File::options().write(true).open(self.filler());
        let filler = filler.expect("the filler");
        let length = filler.metadata().expect("its length").len();
        filler
            .set_len(length.saturating_sub(mebibytes << 20))
            .expect("a shorter one");
    }

    /// Takes what fills it away.
    pub fn give_room(&self) {
        std::fs::remove_file(self.filler()).expect("the filler");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        Prepared::new("umount").arg("--lazy").arg(&self.0).run();
    }
}
