//! A recorder that keeps what it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use devp2p_server::metrics::{Kind, Recorder, Unit};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString,
};

/// Kind, unit and help of a metric.
type Description = (Kind, Option<Unit>, String);

/// A name, and the values of its labels.
type Series = (String, BTreeMap<String, String>);

#[derive(Default)]
pub(crate) struct Recorded {
    described: Mutex<BTreeMap<String, Description>>,
    counters: Mutex<BTreeMap<Series, Arc<AtomicU64>>>,
    gauges: Mutex<BTreeMap<Series, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<Series, Arc<Values>>>,
}

#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl Recorded {
    pub(crate) fn described(&self) -> BTreeMap<String, Description> {
        self.described.lock().unwrap().clone()
    }

    /// The names of the series of a kind, with the names of their labels.
    pub(crate) fn names(&self, kind: Kind) -> BTreeSet<(String, Vec<String>)> {
        let name = |(name, labels): &Series| (name.clone(), labels.keys().cloned().collect());
        match kind {
            Kind::Counter => self.counters.lock().unwrap().keys().map(name).collect(),
            Kind::Gauge => self.gauges.lock().unwrap().keys().map(name).collect(),
            _ => self.histograms.lock().unwrap().keys().map(name).collect(),
        }
    }

    /// The value of a counter, all series with these labels together; fails where there is none.
    pub(crate) fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let counters = self.counters.lock().unwrap();
        let found: Vec<_> =
            counters.iter().filter(|(series, _)| is(series, name, labels)).collect();
        assert!(!found.is_empty(), "there is no {name} with {labels:?}");
        found.into_iter().map(|(_, value)| value.load(Ordering::SeqCst)).sum()
    }

    pub(crate) fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let gauges = self.gauges.lock().unwrap();
        let mut found = gauges.iter().filter(|(series, _)| is(series, name, labels));
        let (_, value) = found.next().unwrap_or_else(|| panic!("there is no {name}, {labels:?}"));
        f64::from_bits(value.load(Ordering::SeqCst))
    }

    pub(crate) fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let histograms = self.histograms.lock().unwrap();
        let found = histograms.iter().filter(|(series, _)| is(series, name, labels));
        found.flat_map(|(_, values)| values.0.lock().unwrap().clone()).collect()
    }

    /// The values of all labels.
    pub(crate) fn values(&self) -> BTreeSet<String> {
        let (counters, gauges) = (self.counters.lock().unwrap(), self.gauges.lock().unwrap());
        let histograms = self.histograms.lock().unwrap();
        let all = counters.keys().chain(gauges.keys()).chain(histograms.keys());
        all.flat_map(|(_, labels)| labels.values().cloned()).collect()
    }

    /// The counters that are not zero, of those whose names begin so.
    pub(crate) fn counted(&self, prefix: &str) -> BTreeMap<String, u64> {
        let counters = self.counters.lock().unwrap();
        let mut counted = BTreeMap::new();
        for ((name, _), value) in counters.iter().filter(|((name, _), _)| name.starts_with(prefix))
        {
            let value = value.load(Ordering::SeqCst);
            if value > 0 {
                *counted.entry(name.clone()).or_default() += value;
            }
        }
        counted
    }

    fn describe(&self, kind: Kind, name: &KeyName, unit: Option<Unit>, help: SharedString) {
        let told = (kind, unit, help.to_string());
        let before = self.described.lock().unwrap().insert(name.as_str().to_owned(), told);
        assert!(before.is_none(), "{name:?} was described twice");
    }
}

fn is((own, all): &Series, name: &str, labels: &[(&str, &str)]) -> bool {
    let has = |&(key, value): &(&str, &str)| all.get(key).is_some_and(|it| it == value);
    own == name && labels.iter().all(has)
}

/// Registers a series, which must be new.
fn register<T: Default>(all: &Mutex<BTreeMap<Series, Arc<T>>>, key: &Key) -> Arc<T> {
    let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned()));
    let series = (key.name().to_owned(), labels.collect());
    let value = Arc::<T>::default();
    let before = all.lock().unwrap().insert(series, Arc::clone(&value));
    assert!(before.is_none(), "{key} was registered twice");
    value
}

impl Recorder for Recorded {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Counter, &key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Gauge, &key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Histogram, &key, unit, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(register(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(register(&self.gauges, key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(register(&self.histograms, key))
    }
}

/// A recorder whose metrics panic.
pub(crate) struct Panicking;

impl CounterFn for Panicking {
    fn increment(&self, _: u64) {
        panic!("as the test wants it");
    }

    fn absolute(&self, _: u64) {
        panic!("as the test wants it");
    }
}

impl HistogramFn for Panicking {
    fn record(&self, _: f64) {
        panic!("as the test wants it");
    }
}

impl Recorder for Panicking {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Self))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Self))
    }
}

/// The recorder of a process that no server may use.
pub(crate) struct Forbidden;

impl Recorder for Forbidden {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{key:?} went to the recorder of the process");
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{key:?} went to the recorder of the process");
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("{key:?} went to the recorder of the process");
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        panic!("{key} went to the recorder of the process");
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        panic!("{key} went to the recorder of the process");
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("{key} went to the recorder of the process");
    }
}
