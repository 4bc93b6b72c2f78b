//! How large the parts of an upload are, and whose memory they are in.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The size of most parts; S3's least is 5 MiB.
pub(super) const SMALLEST: u64 = 7 << 20;
/// S3's limits. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const MOST_PARTS: u64 = 10_000;
const LARGEST_OBJECT: u64 = 5 << 40;
const LARGEST_PART: u64 = 5 << 30;
/// After how many parts they grow where nobody knows better.
const STEP: u64 = 1_000;
/// Small parts that are gathered or under way, all uploads of a process together: two streams gather
/// two while two are on their way. docs/performance.md has what more and less of it did.
const SHARED: usize = 4;

/// The sizes of one upload's parts. All 10,000 of them hold S3's largest object, whatever was
/// expected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sizes {
    /// Doubled again and again: nobody knows how much comes, or it is little.
    Doubling,
    /// So large that half of the parts hold what is expected. The next three thousand grow slowly
    /// and hold as much again, and a little more; the last two thousand hold whatever else comes.
    Steady(u64),
}

impl Sizes {
    /// For an object that will have about so many bytes.
    pub(super) fn of_object(expected: u64) -> Self {
        if expected <= STEP * SMALLEST {
            return Self::Doubling;
        }
        let part = expected.min(LARGEST_OBJECT).div_ceil(MOST_PARTS / 2);
        Self::Steady(part.next_multiple_of(1 << 20).max(SMALLEST))
    }

    /// Bytes of the part with this number, counted from 0.
    pub(super) fn of_part(self, number: u64) -> u64 {
        let step = number / STEP;
        match self {
            Self::Doubling => SMALLEST << step.min(9),
            Self::Steady(part) => match step {
                0..=4 => part,
                5 => part * 3 / 2,
                6 => part * 2,
                7 => part * 3,
                8 => (part * 12).min(LARGEST_PART),
                _ => {
                    let before = STEP * (part * 23 / 2 + Self::Steady(part).of_part(8 * STEP));
                    let rest = LARGEST_OBJECT.saturating_sub(before).div_ceil(STEP);
                    rest.max(part * 12).min(LARGEST_PART)
                }
            },
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
        for expected in [
            0,
            1,
            6 * GIB,
            7 * GIB,
            34 * GIB,
            100 * GIB,
            TIB,
            5 * TIB,
            40 * TIB,
        ] {
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
        assert_eq!(of(34 * GIB, 34 * GIB), 7);
        assert_eq!(of(512 * GIB, 512 * GIB), 105);
        assert_eq!(of(5 * TIB / 2, 5 * TIB / 2), 525);
        // Up to 2.3 times what was expected a part grows to three times its size at most.
        assert_eq!(of(34 * GIB, 78 * GIB), 21);
        assert_eq!(of(512 * GIB, 1_170 * GIB), 315);
        // Ten times as much still fits.
        assert_eq!(of(34 * GIB, 340 * GIB), 5_078);
        assert_eq!(of(512 * GIB, 5 * TIB), 2_775);
        // Of what nobody knows anything about.
        assert_eq!(of(0, 200 * GIB), 112);
        assert_eq!(of(0, 5 * TIB), 3_584);
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
