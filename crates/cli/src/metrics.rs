//! Metrics of a node for Prometheus, over HTTP.

mod http;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::Args;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};
use tracing::info;

use crate::failure::Failure;

/// The flags of metrics, with geth's names. What is not told is `None`, so that other sources of
/// options can tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct MetricsArgs {
    /// Serve metrics for Prometheus over HTTP, at the path /debug/metrics/prometheus
    #[arg(long = "metrics", value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_missing_value = "true")]
    pub(crate) metrics: Option<bool>,
    /// The address that metrics are served at, 127.0.0.1 unless told: whoever can reach it can read
    /// them
    #[arg(long = "metrics.addr", value_name = "IP")]
    pub(crate) metrics_addr: Option<IpAddr>,
    /// The port that metrics are served at, 6060 unless told; 0 takes a free one
    #[arg(long = "metrics.port", value_name = "PORT")]
    pub(crate) metrics_port: Option<u16>,
}

/// How metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The TCP address to listen on.
    pub(crate) addr: SocketAddr,
}

impl Default for Options {
    /// geth's, which only this machine can reach.
    fn default() -> Self {
        Self { addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 6060) }
    }
}

/// The upper bounds of the buckets of all histograms, in seconds: from a round trip on loopback to
/// more than the time that a dial and its handshakes may take.
const BUCKETS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0];

/// How often the observations of histograms are summed up, while nobody asks for them: a busy node
/// makes some hundred in that time.
const UPKEEP: Duration = Duration::from_secs(5);

/// Listens, and gives the recorder that a server is to be built with.
///
/// Must be called in a tokio runtime.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) async fn start(options: Options) -> Result<(Arc<PrometheusRecorder>, Running), Failure> {
    let builder = PrometheusBuilder::new().set_buckets(&BUCKETS).map_err(Failure::work)?;
    let recorder = builder.build_recorder();
    let failed = |error: io::Error| {
        let why = format!("--metrics: cannot listen on {}: {error}", options.addr);
        // A taken port may be free the next time.
        match error.kind() {
            io::ErrorKind::AddrNotAvailable => Failure::Arguments(why),
            _ => Failure::Work(why),
        }
    };
    let listener = TcpListener::bind(options.addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    info!(%addr, "Serving metrics");
    let task = tokio::spawn(serve(listener, recorder.handle()));
    Ok((Arc::new(recorder), Running { addr, task }))
}

/// Answers requests, and keeps what is recorded small in between.
async fn serve(listener: TcpListener, metrics: PrometheusHandle) {
    let mut upkeep = interval(UPKEEP);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let upkeep = async {
        loop {
            upkeep.tick().await;
            metrics.run_upkeep();
        }
    };
    let rendered = metrics.clone();
    tokio::join!(upkeep, http::serve(listener, move || rendered.render()));
}

/// Metrics that are served, until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    /// The address that it really listens on.
    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends when the port is free and no request is answered any more.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        // It was aborted.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_can_read_them_unless_told() {
        assert_eq!(Options::default().addr.to_string(), "127.0.0.1:6060");
    }

    #[tokio::test]
    async fn a_taken_port_is_told_with_its_flag_and_is_free_after_the_stop() {
        let options = Options { addr: "127.0.0.1:0".parse().unwrap() };
        let (_, running) = start(options).await.unwrap();
        let same = Options { addr: running.addr() };
        let Err(Failure::Work(why)) = start(same).await else { panic!("two on one port") };
        assert!(why.starts_with("--metrics: cannot listen on 127.0.0.1:"), "{why}");
        running.stop().await;
        start(same).await.unwrap();
    }
}
