//! How large the parts of an upload are, and whose memory they are in.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The size of most parts; S3's least is 5 MiB.
pub(super) const SMALLEST: u64 = 7 << 20;
/// S3's limits. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MOST_PARTS: u64 = 10_000;
const LARGEST_OBJECT: u64 = 5 << 40;
/// How many parts hold what is expected. The others are for what nobody expected, growing slowly
/// over the next three thousand.
const EXPECTED_PARTS: u64 = 5_000;
/// Where the parts begin that hold whatever S3 takes.
const LAST_PARTS: u64 = 8_000;
/// Small parts that are gathered or under way, all uploads of a process together: two streams gather
/// two while two are on their way. docs/performance.md has what more and less of it did.
const SHARED: usize = 4;

/// The sizes of one upload's parts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    first: u64,
}

impl Sizes {
    /// For an object that will have about so many bytes.
    pub(super) fn of_object(expected: u64) -> Self {
        let part = expected.min(LARGEST_OBJECT).div_ceil(EXPECTED_PARTS);
        Self {
            first: part.next_multiple_of(1 << 20).max(SMALLEST),
        }
    }

    /// Bytes of the part with this number, counted from 0. All of them hold S3's largest object,
    /// whatever was expected, and none is larger than S3 takes.
    pub(super) fn of_part(self, number: u64) -> u64 {
        match number {
            0..EXPECTED_PARTS => self.first,
            EXPECTED_PARTS..6_000 => self.first * 3 / 2,
            6_000..7_000 => self.first * 2,
            7_000..LAST_PARTS => self.first * 3,
            _ => {
                let before = EXPECTED_PARTS * self.first + 6_500 * self.first;
                let rest = LARGEST_OBJECT.saturating_sub(before);
                rest.div_ceil(MOST_PARTS - LAST_PARTS).max(self.first * 3)
            }
        }
    }
}

/// Memory that the uploads of a process share.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    small: Arc<Semaphore>,
    spare: Arc<Mutex<Vec<BytesMut>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SHARED)),
            spare: Arc::default(),
        }
    }
}

impl Memory {
    /// Room for one more small part, where there is some now.
    pub(super) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.small).try_acquire_owned().ok()
    }

    /// Room for one more small part, as soon as there is some.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed, so never refused.
        Arc::clone(&self.small).acquire_owned().await.ok()
    }

    /// A buffer for a part of this size. What is not written to takes no memory.
    pub(super) fn buffer(&self, size: usize) -> BytesMut {
        let small = size as u64 <= SMALLEST;
        let kept = small.then(|| self.kept().pop()).flatten();
        kept.unwrap_or_else(|| BytesMut::with_capacity(size))
    }

    /// Keeps the buffer of a small part for the next one: an allocator would keep as much of it
    /// again, while it gives large ones back to the system.
    pub(super) fn give_back(&self, part: Bytes) {
        if let Ok(mut part) = part.try_into_mut()
            && (SMALLEST..2 * SMALLEST).contains(&(part.capacity() as u64))
        {
            part.clear();
            self.kept().push(part);
        }
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<BytesMut>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const TIB: u64 = 1 << 40;

    /// The largest part that an object of this size has.
    fn largest(sizes: Sizes, object: u64) -> u64 {
        let (mut held, mut largest) = (0, 0);
        for number in 0..MOST_PARTS {
            if held >= object {
                return largest;
            }
            largest = sizes.of_part(number);
            held += largest;
        }
        assert!(held >= object, "{sizes:?} hold {held} of {object}");
        largest
    }

    /// F42.
    #[test]
    fn the_largest_object_fits_whatever_was_expected() {
        for expected in [0, 1, GIB, 34 * GIB, 100 * GIB, TIB, 5 * TIB, 40 * TIB] {
            let sizes = Sizes::of_object(expected);
            assert!(largest(sizes, 5 * TIB) <= 5 * GIB, "{expected}");
            let all = (0..MOST_PARTS).map(|it| sizes.of_part(it));
            assert!(all.clone().all(|it| (5 << 20..=5 * GIB).contains(&it)));
            assert!(all.is_sorted(), "{expected}");
        }
    }

    /// F42.
    #[test]
    fn parts_are_as_small_as_what_is_expected_allows() {
        let of = |expected, object| largest(Sizes::of_object(expected), object) >> 20;
        assert_eq!(of(0, 34 * GIB), 7);
        assert_eq!(of(34 * GIB, 34 * GIB), 7);
        assert_eq!(of(512 * GIB, 512 * GIB), 105);
        assert_eq!(of(5 * TIB / 2, 5 * TIB / 2), 525);
        // Up to 2.3 times what was expected a part grows to three times its size at most.
        assert_eq!(of(512 * GIB, 1_170 * GIB), 315);
        // Ten times as much still fits.
        assert_eq!(of(512 * GIB, 5 * TIB), 2_017);
        assert_eq!(of(0, 5 * TIB), 2_581);
    }

    #[test]
    fn memory_that_nobody_holds_is_used_again() {
        let memory = Memory::default();
        let small = usize::try_from(SMALLEST).unwrap();
        let mut part = memory.buffer(small);
        let address = part.as_ptr();
        part.extend_from_slice(b"sent");
        let sent = part.freeze();
        let held = sent.clone();
        memory.give_back(sent);
        assert_ne!(memory.buffer(small).as_ptr(), address, "it is still held");
        memory.give_back(held);
        assert!(memory.buffer(2 * small).capacity() >= 2 * small);
        let again = memory.buffer(small);
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
    }
}
