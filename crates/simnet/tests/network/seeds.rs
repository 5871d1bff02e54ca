use std::process::{Command, Output};

use devp2p_simnet::{assert_repeats, for_seeds};

/// Fails for the seed 3, when it is called for that.
#[test]
fn child() {
    if std::env::var_os("SIMNET_TEST_CHILD").is_some() {
        for_seeds(5, |seed| {
            println!("seed {seed} runs");
            assert_ne!(seed, 3);
        });
    }
}

fn run_child(seed: Option<&str>) -> (bool, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "seeds::child", "--nocapture"]).env("SIMNET_TEST_CHILD", "1");
    command.env_remove("SIMNET_SEED");
    if let Some(seed) = seed {
        command.env("SIMNET_SEED", seed);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = [stdout, stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (status.success(), text)
}

#[test]
fn a_failing_seed_is_printed_and_can_be_run_alone() {
    let (passed, text) = run_child(None);
    assert!(!passed);
    assert!(text.contains("failed with seed 3; SIMNET_SEED=3 runs it alone"), "{text}");
    assert!(text.contains("seed 2 runs") && !text.contains("seed 4 runs"), "{text}");
    assert!(!text.contains("with seed 2;"), "{text}");

    let (passed, text) = run_child(Some("3"));
    assert!(!passed && text.contains("seed 3 runs") && !text.contains("seed 2 runs"), "{text}");

    // Also one that is not among them.
    let (passed, text) = run_child(Some("1000"));
    assert!(passed && text.contains("seed 1000 runs"), "{text}");

    let (passed, text) = run_child(Some("three"));
    assert!(!passed && text.contains("SIMNET_SEED is no number: three"), "{text}");
}

#[test]
#[should_panic(expected = "with seed 7 two runs differ")]
fn a_test_that_does_not_repeat_is_caught() {
    let mut runs = 0;
    assert_repeats(7, |seed| {
        runs += 1;
        seed + runs
    });
}
