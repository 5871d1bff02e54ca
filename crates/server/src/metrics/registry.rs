use std::{fmt::Display, sync::Arc};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};

use super::names::{Kind, NAMES};

/// Where metrics are registered: the recorder of one server.
pub(super) struct Registry(Arc<dyn Recorder + Send + Sync>);

/// The labels of a series.
pub(super) type Labels<'a> = &'a [(&'static str, &'a str)];

impl Registry {
    /// A registry whose recorder knows what all metrics mean.
    pub(super) fn new(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        for metric in NAMES {
            let name = KeyName::from_const_str(metric.name);
            match metric.kind {
                Kind::Counter => {
                    recorder.describe_counter(name, Some(metric.unit), metric.help.into());
                }
                Kind::Gauge => recorder.describe_gauge(name, Some(metric.unit), metric.help.into()),
                Kind::Histogram => {
                    recorder.describe_histogram(name, Some(metric.unit), metric.help.into());
                }
            }
        }
        Self(recorder)
    }

    pub(super) fn counter(&self, name: &'static str, labels: Labels<'_>) -> Counter {
        self.0.register_counter(&key(Kind::Counter, name, labels), &METADATA)
    }

    pub(super) fn gauge(&self, name: &'static str, labels: Labels<'_>) -> Gauge {
        self.0.register_gauge(&key(Kind::Gauge, name, labels), &METADATA)
    }

    pub(super) fn histogram(&self, name: &'static str, labels: Labels<'_>) -> Histogram {
        self.0.register_histogram(&key(Kind::Histogram, name, labels), &METADATA)
    }
}

const METADATA: Metadata<'static> =
    Metadata::new(env!("CARGO_CRATE_NAME"), Level::INFO, Some(module_path!()));

fn key(kind: Kind, name: &'static str, labels: Labels<'_>) -> Key {
    let keys = labels.iter().map(|(key, _)| key);
    let is_known = NAMES.iter().any(|metric| {
        metric.kind == kind && metric.name == name && metric.labels.iter().eq(keys.clone())
    });
    debug_assert!(is_known, "{name} with {labels:?} is not among the metrics");
    let labels = labels.iter().map(|&(key, value)| Label::new(key, value.to_owned()));
    Key::from_parts(name, labels.collect::<Vec<_>>())
}

/// A text of ours as the value of a label.
pub(super) fn word(text: impl Display) -> String {
    text.to_string().replace([' ', '-'], "_").to_lowercase()
}
