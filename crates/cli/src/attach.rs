//! `devp2p attach`: one call to a node that runs, and what it answers.

mod http;
mod stream;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::{Value, json};
use tokio::time::timeout;

use self::stream::Stream;
use crate::{failure::Failure, interrupts::Interrupts, output, rpc::IPC_FILE, runtime::block_on};

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// The node: the path of its Unix socket, http://HOST:PORT or ws://HOST:PORT
    #[arg(long, value_name = "PATH|URL")]
    to: Option<String>,
    /// The folder of the node, with the socket devp2p.ipc in it
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    datadir: Option<PathBuf>,
    /// The method, as in admin_peers; admin.peers is the same
    method: String,
    /// Its arguments: JSON, or else a text as it is
    args: Vec<String>,
}

/// How long a node may take to answer: removing a peer waits for its end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The number of the only call.
const ID: u64 = 1;

/// Calls a method of a node, and prints what it answers. What it is to tell from then on is printed
/// until the node or a signal ends it.
pub(crate) fn run(args: &AttachArgs) -> Result<(), Failure> {
    let to = args.target()?;
    let method = args.method.replacen('.', "_", 1);
    let arguments: Vec<Value> = args.args.iter().map(|text| argument(text)).collect();
    let request = json!({ "jsonrpc": "2.0", "id": ID, "method": method, "params": arguments });
    let failed = |error: io::Error| Failure::work(format!("{to}: {error}"));
    block_on(async {
        let mut interrupts = Interrupts::new().map_err(Failure::work)?;
        let answered = async { timeout(PATIENCE, ask(&to, &request)).await };
        let (answer, stream) = tokio::select! {
            biased;
            () = interrupts.next() => return Err(Failure::work("interrupted")),
            answered = answered => match answered {
                Ok(answered) => answered.map_err(failed)?,
                Err(_) => return Err(Failure::work(format!("{to}: no answer within {PATIENCE:?}"))),
            },
        };
        print(&result(answer)?)?;
        match stream {
            Some(stream) if method.ends_with("_subscribe") => tokio::select! {
                biased;
                () = interrupts.next() => Ok(()),
                ended = follow(stream) => ended,
            },
            _ => Ok(()),
        }
    })
}

impl AttachArgs {
    fn target(&self) -> Result<Target, Failure> {
        match (&self.to, &self.datadir) {
            (Some(to), _) => {
                Target::parse(to).map_err(|why| Failure::arguments(format!("--to {to}: {why}")))
            }
            (None, Some(datadir)) => Ok(Target::Ipc(datadir.join(IPC_FILE))),
            (None, None) => Err(Failure::arguments("tell the node with --to or --datadir")),
        }
    }
}

/// Where a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Http { authority: String, path: String },
    Ipc(PathBuf),
    Ws { authority: String, path: String },
}

impl Target {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Ipc(Path::new(text).to_owned()));
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || rest.contains(|it: char| it.is_whitespace() || it.is_control()) {
            return Err("wants a host");
        }
        let default = if scheme == "ws" { 8546 } else { 8545 };
        let has_port =
            authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority =
            if has_port { authority.to_owned() } else { format!("{authority}:{default}") };
        let path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
        match scheme {
            "http" => Ok(Self::Http { authority, path }),
            "ws" => Ok(Self::Ws { authority, path }),
            _ => Err("wants http://, ws:// or the path of a socket"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { authority, path } => write!(f, "http://{authority}{path}"),
            Self::Ipc(path) => path.display().fmt(f),
            Self::Ws { authority, path } => write!(f, "ws://{authority}{path}"),
        }
    }
}

/// An argument as it is told.
fn argument(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// The answer, and from where there may come more.
async fn ask(to: &Target, request: &Value) -> io::Result<(Value, Option<Stream>)> {
    let request = request.to_string();
    let mut stream = match to {
        Target::Http { authority, path } => {
            let answer = http::post(authority, path, &request).await?;
            return Ok((serde_json::from_slice(&answer)?, None));
        }
        Target::Ipc(path) => Stream::ipc(path).await?,
        Target::Ws { authority, path } => Stream::ws(authority, path).await?,
    };
    stream.send(&request).await?;
    loop {
        let Some(message) = stream.next().await? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        // What is without an id was not asked for.
        if message.get("id").is_some() {
            return Ok((message, Some(stream)));
        }
    }
}

/// What a node answered.
fn result(mut answer: Value) -> Result<Value, Failure> {
    match answer.get_mut("error").map(Value::take) {
        None | Some(Value::Null) => {}
        Some(error) => {
            let message = error.get("message").and_then(Value::as_str);
            let code = error.get("code").and_then(Value::as_i64);
            let what = match (message, code) {
                (Some(message), Some(code)) => format!("{message} (code {code})"),
                _ => error.to_string(),
            };
            return Err(Failure::work(what));
        }
    }
    match answer.get_mut("result").map(Value::take) {
        Some(result) => Ok(result),
        None => Err(Failure::work("the node answered neither a result nor an error")),
    }
}

/// Prints what a node tells until it tells no more.
async fn follow(mut stream: Stream) -> Result<(), Failure> {
    while let Some(mut message) = stream.next().await.map_err(Failure::work)? {
        if let Some(told) = message.pointer_mut("/params/result").map(Value::take) {
            output::line(&told)?;
        }
    }
    Err(Failure::work("the node has ended the connection"))
}

fn print(result: &Value) -> Result<(), Failure> {
    output::line(&format!("{result:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        let target = |text| Target::parse(text).map(|target| target.to_string());
        for (text, printed) in [
            ("x/devp2p.ipc", "x/devp2p.ipc"),
            ("http://localhost", "http://localhost:8545/"),
            ("ws://127.0.0.1/x", "ws://127.0.0.1:8546/x"),
            ("http://[::1]", "http://[::1]:8545/"),
            ("ws://[::1]:7/", "ws://[::1]:7/"),
        ] {
            assert_eq!(target(text).as_deref(), Ok(printed));
        }
        for bad in ["https://localhost", "http://", "http:///x", "http://a b", "ws://a/\r\nX: y"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn arguments_are_json_or_texts() {
        let enode = "enode://aa@127.0.0.1:1";
        for (text, value) in [
            ("1", json!(1)),
            ("true", json!(true)),
            ("\"1\"", json!("1")),
            ("peerEvents", json!("peerEvents")),
            ("10.0.0.0/8", json!("10.0.0.0/8")),
            (enode, json!(enode)),
            ("[1]", json!([1])),
            ("", json!("")),
        ] {
            assert_eq!(argument(text), value);
        }
    }

    #[test]
    fn answers() {
        let told = |answer| result(answer).map_err(|failure| failure.to_string());
        assert_eq!(told(json!({ "result": null })), Ok(Value::Null));
        assert_eq!(told(json!({ "result": [1], "error": null })), Ok(json!([1])));
        let error = json!({ "error": { "code": -32000, "message": "invalid enode: x" } });
        assert_eq!(told(error).unwrap_err(), "invalid enode: x (code -32000)");
        assert!(told(json!({})).is_err());
    }
}
