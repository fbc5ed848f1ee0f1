//! Chance that repeats. Whatever draws in a process asks the operating system first: the order of a hash map, the branch that `select!` looks at
//! first, a jitter. Once [`seed`] has been called, these ask a generator instead, and a process that is run again does the same again.
//!
//! For tests alone: what is linked with this crate can't keep a secret.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static SEEDED: AtomicBool = AtomicBool::new(false);
static STATE: AtomicU64 = AtomicU64::new(0);

/// From here on, all that is drawn in this process follows from `seed`. To be called before anything else is done.
pub fn seed(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
    SEEDED.store(true, Ordering::SeqCst);
}

/// The generator `SplitMix64`.
fn next() -> u64 {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut z = STATE.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The C library's `getrandom`, in its place.
///
/// # Safety
/// `buffer` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller's promise.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if SEEDED.load(Ordering::SeqCst) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
        }
        return length.cast_signed();
    }
    match rustix::rand::getrandom(buffer, rustix::rand::GetRandomFlags::from_bits_retain(flags)) {
        Ok(drawn) => drawn.cast_signed(),
        // Without an `errno`, which only the C library sets: nobody can go on without chance.
        Err(_) => std::process::abort(),
    }
}
