//! The bound on memory: it grows with the bytes that were received, never with a length that was
//! declared.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What may be held whatever was received.
const SLACK: usize = 64 * 1024;

/// Runs `f`, whose peak of allocated memory must stay within 4 times the bytes that it received
/// and delivered, plus 64 KiB. `f` returns how many it delivered.
///
/// Values that are made once, such as keys, have to exist before.
///
/// # Panics
/// Where it does not.
pub fn bounded<T>(received: usize, f: impl FnOnce() -> (usize, T)) -> T {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let (delivered, result) = f();
    let peak = ALLOCATOR.peak_usage().saturating_sub(before);
    let limit = 4 * (received + delivered) + SLACK;
    assert!(peak <= limit, "{peak} bytes for {received} received and {delivered} delivered");
    result
}
