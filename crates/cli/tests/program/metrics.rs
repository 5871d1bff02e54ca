//! Metrics, as a collector reads them.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread::sleep,
    time::{Duration, Instant},
};

use devp2p_server::metrics::{Kind, NAMES};

use crate::tool::{Running, devp2p};

/// What a path gives: the head and the body.
fn get(addr: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {addr}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The samples, by name and labels.
fn samples(body: &str) -> BTreeMap<String, f64> {
    let lines = body.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = lines.map(|line| line.rsplit_once(' ').unwrap());
    split.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

const PATH: &str = "/debug/metrics/prometheus";

#[test]
fn a_collector_reads_what_happens() {
    let node = |more: &[&str]| {
        let common = ["run", "--json", "--nodiscover", "--addr", "127.0.0.1:0"];
        Running::start(common.iter().chain(more))
    };
    let mut one = node(&["--metrics", "--metrics.port", "0"]);
    let ready = one.event("ready");
    let addr = ready["metrics"].as_str().unwrap();
    assert!(addr.starts_with("127.0.0.1:"), "{addr}");
    let (head, body) = get(addr, PATH);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    assert!(body.contains("\n# TYPE p2p_serves counter\n"), "{body}");
    assert!(get(addr, "/").0.starts_with("HTTP/1.1 404 "));

    let mut two = node(&["--static", ready["enode"].as_str().unwrap()]);
    assert_eq!(two.event("ready")["metrics"], serde_json::Value::Null, "not asked for");
    let greeting = |samples: &BTreeMap<String, f64>| {
        let demo = |series: &&String| {
            series.starts_with("p2p_ingress_messages{") && series.contains("code=\"0x00\"")
        };
        samples.iter().filter(|(series, _)| demo(series)).map(|(_, count)| count).sum::<f64>()
    };
    let start = Instant::now();
    let told = loop {
        let told = samples(&get(addr, PATH).1);
        if told["p2p_peers"] > 0.5 && greeting(&told) > 0.5 {
            break told;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{told:#?}");
        sleep(Duration::from_millis(50));
    };
    let is = |series: &str, wanted: f64| {
        assert!((told[series] - wanted).abs() < 1e-9, "{series} is {}", told[series]);
    };
    is("p2p_peers_inbound", 1.0);
    is("p2p_serves", 1.0);
    is("p2p_serves_success", 1.0);
    is("p2p_dials", 0.0);
    is("p2p_handshake_seconds_count{direction=\"inbound\",stage=\"secure\"}", 1.0);
    assert!(told["p2p_ingress"] > 300.0, "a handshake and a Hello");
    for series in told.keys() {
        let name = series.split('{').next().unwrap();
        let of = |suffix: &str| name.strip_suffix(suffix);
        let histogram = of("_bucket").or_else(|| of("_sum")).or_else(|| of("_count"));
        let is_listed = NAMES.iter().any(|metric| match metric.kind {
            Kind::Histogram => Some(metric.name) == histogram,
            _ => metric.name == name,
        });
        assert!(is_listed, "{series}");
    }
}

#[test]
fn a_taken_port_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let args = ["run", "--nodiscover", "--addr", "127.0.0.1:0", "--metrics", "--metrics.port"];
    let output = devp2p(args.iter().copied().chain([&*port]));
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("error: --metrics: cannot listen on 127.0.0.1:"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
}
