/// Runs a test with the seeds from 0 to `count`. Where one fails it is printed, and
/// `SIMNET_SEED=7 cargo test ..` runs it alone.
///
/// # Panics
/// When the test does, or `SIMNET_SEED` is no number.
pub fn for_seeds(count: u64, mut test: impl FnMut(u64)) {
    for seed in chosen().map_or(0..count, |seed| seed..seed.saturating_add(1)) {
        let _printed = PrintedInPanic(seed);
        test(seed);
    }
}

/// Runs a test twice with one seed, and returns the trace that it returns.
///
/// # Panics
/// When the traces differ: then something in it is not from the seed.
pub fn assert_repeats(seed: u64, mut test: impl FnMut(u64) -> u64) -> u64 {
    let (first, second) = (test(seed), test(seed));
    assert_eq!(first, second, "with seed {seed} two runs differ");
    first
}

fn chosen() -> Option<u64> {
    let value = std::env::var("SIMNET_SEED").ok()?;
    let Ok(seed) = value.parse() else { panic!("SIMNET_SEED is no number: {value}") };
    Some(seed)
}

struct PrintedInPanic(u64);

impl Drop for PrintedInPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}; SIMNET_SEED={0} runs it alone", self.0);
        }
    }
}
