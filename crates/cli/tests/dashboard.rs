//! The dashboard in docs/grafana shows metrics that there are, and shows them as what they are.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use std::{collections::BTreeSet, fs, path::Path};

use devp2p_server::metrics::{Kind, Metric, NAMES, Unit};
use serde_json::Value;

fn dashboard() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana/devp2p.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A metric in an expression.
#[derive(Debug)]
struct Use<'a> {
    metric: &'static Metric,
    /// The function right around it.
    function: Option<&'a str>,
    /// Whether it is the buckets of a histogram.
    buckets: bool,
}

/// Reads an expression of PromQL as far as it names metrics and labels.
///
/// # Errors
/// What is no metric, or no label of the metrics in it.
fn uses(expression: &str) -> Result<Vec<Use<'_>>, String> {
    let mut found = Vec::new();
    let mut labels = BTreeSet::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = expression;
    let mut function = None;
    while let Some(at) = rest.find(|c: char| is_word(c) || c == '{' || c == '[') {
        match rest.as_bytes()[at] {
            b'[' => {
                rest = &rest[at..][rest[at..].find(']').ok_or("a range does not end")? + 1..];
                continue;
            }
            b'{' => {
                let end = at + rest[at..].find('}').ok_or("a selector does not end")?;
                for matcher in rest[at + 1..end].split(',') {
                    let name = matcher.trim().split(['=', '!']).next().unwrap_or_default();
                    labels.insert(name.to_owned());
                }
                rest = &rest[end + 1..];
                continue;
            }
            _ => {}
        }
        let end = rest[at..].find(|c| !is_word(c)).map_or(rest.len(), |end| at + end);
        let (word, after) = (&rest[at..end], &rest[end..]);
        rest = after;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        if word == "by" {
            let list = after.trim_start().strip_prefix('(').ok_or("by without a list")?;
            let (list, after) = list.split_once(')').ok_or("a list does not end")?;
            labels.extend(list.split(',').map(|label| label.trim().to_owned()));
            rest = after;
        } else if after.starts_with('(') || word == "sum" {
            function = Some(word);
            continue;
        } else {
            let plain = word.strip_suffix("_bucket");
            let metric = NAMES.iter().find(|metric| match metric.kind {
                Kind::Histogram => Some(metric.name) == plain,
                _ => metric.name == word,
            });
            let metric = metric.ok_or_else(|| format!("{word} is no metric"))?;
            found.push(Use { metric, function, buckets: plain == Some(metric.name) });
        }
        function = None;
    }
    let known = found.iter().flat_map(|found| found.metric.labels).copied();
    // `instance` comes from the collector.
    let known: BTreeSet<_> = known.chain(["instance"]).collect();
    let unknown = |label: &&String| {
        !known.contains(label.as_str()) && (*label != "le" || !found.iter().any(|it| it.buckets))
    };
    match labels.iter().find(unknown) {
        Some(label) => Err(format!("{label} is no label of these metrics")),
        None if found.is_empty() => Err("there is no metric".to_owned()),
        None => Ok(found),
    }
}

/// Only what grows has a rate, and of what grows only that means something.
fn check_function(found: &Use<'_>) {
    let is_rate = found.function == Some("rate");
    assert_eq!(is_rate, found.metric.kind != Kind::Gauge, "{found:?}");
    assert_eq!(found.buckets, found.metric.kind == Kind::Histogram, "{found:?}");
}

/// A unit of the panel that fits what is shown.
fn check_unit(found: &Use<'_>, unit: &str) {
    let wanted: &[&str] = match (found.metric.kind, found.metric.unit) {
        (Kind::Histogram, Unit::Seconds) => &["s"],
        (Kind::Gauge, Unit::Bytes) => &["bytes"],
        (Kind::Gauge, _) => &["short", "percentunit"],
        (_, Unit::Bytes) => &["Bps"],
        _ => &["ops", "pps"],
    };
    assert!(wanted.contains(&unit), "{unit} for {found:?}");
}

fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().collect()
}

#[test]
fn every_panel_shows_metrics_that_there_are() {
    let dashboard = dashboard();
    let mut shown = BTreeSet::new();
    for panel in panels(&dashboard).into_iter().filter(|panel| panel["type"] != "row") {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
        for target in targets {
            let expression = target["expr"].as_str().unwrap();
            let uses =
                uses(expression).unwrap_or_else(|why| panic!("{title}: {expression}: {why}"));
            for found in &uses {
                check_function(found);
                check_unit(found, unit);
                shown.insert(found.metric.name);
            }
            assert!(expression.contains("instance=~\"$instance\""), "{title}: {expression}");
            // The legend can show only what the expression keeps.
            let legend = target["legendFormat"].as_str().unwrap();
            for label in legend.split("{{").skip(1).map(|part| part.split("}}").next().unwrap()) {
                let kept = expression.split("by (").nth(1).and_then(|by| by.split(')').next());
                let kept: Vec<_> = kept.unwrap_or_default().split(", ").collect();
                assert!(kept.contains(&label), "{title}: {legend}: {expression}");
            }
        }
    }
    let all: BTreeSet<_> = NAMES.iter().map(|metric| metric.name).collect();
    assert_eq!(all.difference(&shown).collect::<Vec<_>>(), Vec::<&&str>::new(), "not shown");
}

#[test]
fn it_is_a_dashboard() {
    let dashboard = dashboard();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36);
    for field in ["title", "uid", "refresh"] {
        assert!(!dashboard[field].as_str().unwrap().is_empty(), "{field}");
    }
    assert!(dashboard["uid"].as_str().unwrap().len() <= 40);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: BTreeSet<_> = variables.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(variables, BTreeSet::from(["datasource", "instance"]));

    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: an id twice");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(place("w") > 0 && place("h") > 0 && place("x") + place("w") <= 24, "{title}");
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["timeseries", "stat"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert!(!panel["description"].as_str().unwrap().is_empty(), "{title}");
        let mut names = BTreeSet::new();
        for target in panel["targets"].as_array().unwrap() {
            assert!(names.insert(target["refId"].as_str().unwrap()), "{title}: a refId twice");
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
    }
}

#[test]
fn a_metric_that_does_not_exist_is_found() {
    for (wrong, why) in [
        ("sum(p2p_peer{})", "p2p_peer is no metric"),
        ("sum by (sat) (p2p_set_peers)", "sat is no label of these metrics"),
        ("sum(p2p_set_peers{sat=\"static\"})", "sat is no label of these metrics"),
        ("rate(p2p_rtt_seconds[5m])", "p2p_rtt_seconds is no metric"),
        ("sum by (le) (p2p_peers)", "le is no label of these metrics"),
        ("1 + 2", "there is no metric"),
    ] {
        assert_eq!(uses(wrong).map(|found| found.len()), Err(why.to_owned()), "{wrong}");
    }
    let right = "sum by (le) (rate(p2p_rtt_seconds_bucket{a=~\"b\"}[5m])) / sum(p2p_peers)";
    assert_eq!(uses(right).map(|found| found.len()), Err("a is no label of these metrics".into()));
    let right = right.replace("a=~", "instance=~");
    assert_eq!(uses(&right).unwrap().len(), 2);
}
