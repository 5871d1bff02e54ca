use std::{
    io::{IsTerminal as _, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::ledger::Totals;

/// Shows on stderr how far the run is: as a bar on a terminal, otherwise as a line at each step.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    doing: String,
    last: String,
}

/// How often the bar turns its spinner.
const SPIN: Duration = Duration::from_millis(100);

impl Progress {
    /// Progress of a run that takes about `time`.
    pub(super) fn new(time: Duration) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let template = "{spinner} {elapsed} of about {prefix} s  {msg}";
            // A template that does not parse would cost the layout, not the run.
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.set_prefix(time.as_secs().to_string());
            bar.enable_steady_tick(SPIN);
            bar
        });
        Self { bar, doing: String::new(), last: String::new() }
    }

    /// The next step begins.
    pub(super) fn begin(&mut self, doing: &str) {
        self.tell_last();
        doing.clone_into(&mut self.doing);
    }

    /// What there is now.
    pub(super) fn update(&mut self, sessions: usize, totals: Totals) {
        let Totals { sent, acknowledged, .. } = totals;
        self.last = format!(
            "{}: {sessions} sessions, {sent} messages sent, {acknowledged} acknowledged",
            self.doing
        );
        if let Some(bar) = &self.bar {
            bar.set_message(self.last.clone());
        }
    }

    /// The run is over.
    pub(super) fn finish(&mut self) {
        self.tell_last();
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Where there is no bar, the state at the end of a step stays as a line.
    fn tell_last(&mut self) {
        let last = std::mem::take(&mut self.last);
        if self.bar.is_none() && !last.is_empty() {
            eprintln!("{last}");
        }
    }
}
