use std::time::Duration;

use crate::failure::Failure;

/// How long a thread that waits for the disk, or for a name, may keep the program from ending. What
/// was to be written has been waited for by then.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs to the end, and leaves behind what does not end by itself.
pub(crate) fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().map_err(Failure::work)?;
    let result = runtime.block_on(work);
    // Dropped instead, it would wait for such threads forever.
    runtime.shutdown_timeout(PATIENCE);
    result
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_disk_that_never_answers_does_not_keep_the_program() {
        let (disk, never) = mpsc::channel::<()>();
        let (done, is_done) = mpsc::channel();
        std::thread::spawn(move || {
            let result = block_on(async {
                drop(tokio::task::spawn_blocking(move || never.recv()));
                Err(Failure::Told)
            });
            done.send(matches!(result, Err(Failure::Told))).unwrap();
        });
        assert_eq!(is_done.recv_timeout(PATIENCE * 20), Ok(true));
        drop(disk);
    }
}
