//! The crate `discv5` of Sigma Prime as a node of discovery v5 for tests: a process of its own, for
//! its lists of banned addresses are those of the process.
//!
//! ```text
//! sigp [--key HEX] [--listen ADDR] [--bootnode ENR]... [--session-timeout MS] [--filter]
//! ```
//!
//! With `--filter` its packet filter is on, with the limits that it has by default.
//!
//! Commands come on stdin and events go to stdout, one JSON object a line. The first event is
//! "ready". The program ends at the command "stop" or at the end of stdin.
#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    env,
    io::stdin,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use data_encoding::HEXLOWER_PERMISSIVE as HEX;
use discv5::{ConfigBuilder, Discv5, Enr, Event, IpMode, ListenConfig, NodeContact, TalkRequest};
use enr::{CombinedKey, NodeId};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::UdpSocket, runtime::Runtime, time::Instant};

/// The talk protocol whose answers are the requests.
const ECHO: &[u8] = b"echo";

struct Options {
    key: CombinedKey,
    listen: SocketAddr,
    bootnodes: Vec<Enr>,
    session_timeout: Option<Duration>,
    has_filter: bool,
}

impl Options {
    fn from_args() -> Self {
        let mut options = Self {
            key: CombinedKey::generate_secp256k1(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            bootnodes: Vec::new(),
            session_timeout: None,
            has_filter: false,
        };
        let mut args = env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().expect("the option has a value");
            match arg.as_str() {
                "--key" => {
                    let mut key = unhex(&value()).expect("the key is hex");
                    let key = CombinedKey::secp256k1_from_bytes(&mut key);
                    options.key = key.expect("the key is one");
                }
                "--listen" => options.listen = value().parse().expect("an address"),
                "--bootnode" => options.bootnodes.push(value().parse().expect("a record")),
                "--session-timeout" => {
                    let millis = value().parse().expect("milliseconds");
                    options.session_timeout = Some(Duration::from_millis(millis));
                }
                "--filter" => options.has_filter = true,
                _ => panic!("unknown option {arg}"),
            }
        }
        options
    }
}

/// A line of stdin: the union of all commands. All but "stop" ask for an answer.
#[derive(Deserialize)]
struct Command {
    cmd: String,
    #[serde(default)]
    call: u32,
    #[serde(default)]
    enr: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    distances: Vec<u64>,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    hex: String,
    #[serde(default)]
    key: String,
}

fn main() {
    let runtime = Runtime::new().expect("the runtime starts");
    let node = Arc::new(runtime.block_on(start(Options::from_args())));
    let events = runtime.block_on(node.event_stream()).expect("the node runs");
    runtime.spawn(forward(events));
    emit(json!({ "event": "ready", "enr": node.local_enr().to_base64() }));
    for line in stdin().lines() {
        let line = line.expect("stdin can be read");
        let command: Command = serde_json::from_str(&line).expect("a line is a command");
        if command.cmd == "stop" {
            break;
        }
        let node = Arc::clone(&node);
        runtime.spawn(async move {
            let call = command.call;
            emit(match run(&node, command).await {
                Ok(result) => json!({ "event": "answer", "call": call, "result": result }),
                Err(error) => json!({ "event": "answer", "call": call, "error": error }),
            });
        });
    }
    emit(json!({ "event": "stopped" }));
}

async fn start(options: Options) -> Discv5 {
    let socket = UdpSocket::bind(options.listen).await.expect("the address is free");
    let address = socket.local_addr().expect("a bound socket has an address");
    let (mut record, socket) = (Enr::builder(), Some(Arc::new(socket)));
    let listen = match address.ip() {
        IpAddr::V4(ip) => {
            record.ip4(ip).udp4(address.port());
            ListenConfig::FromSockets { ipv4: socket, ipv6: None }
        }
        IpAddr::V6(ip) => {
            record.ip6(ip).udp6(address.port());
            ListenConfig::FromSockets { ipv4: None, ipv6: socket }
        }
    };
    let record = record.build(&options.key).expect("the record is small");
    let mut config = ConfigBuilder::new(listen);
    if let Some(timeout) = options.session_timeout {
        config.session_timeout(timeout);
    }
    if options.has_filter {
        config.enable_packet_filter();
    }
    let node = Discv5::new(record, options.key, config.build());
    let mut node = node.expect("the key is that of the record");
    for bootnode in options.bootnodes {
        node.add_enr(bootnode).expect("a bootnode has an address");
    }
    node.start().await.expect("the node starts");
    node
}

/// Answers the talk requests, and tells of new nodes.
async fn forward(mut events: tokio::sync::mpsc::Receiver<Event>) {
    while let Some(event) = events.recv().await {
        match event {
            Event::TalkRequest(request) => answer(request),
            Event::NodeInserted { node_id, .. } => {
                emit(json!({ "event": "node_added", "id": HEX.encode(&node_id.raw()) }));
            }
            _ => {}
        }
    }
}

fn answer(request: TalkRequest) {
    let is_echo = request.protocol() == ECHO;
    let response = if is_echo { request.body().to_vec() } else { Vec::new() };
    if let Err(error) = request.respond(response) {
        emit(json!({ "event": "error", "error": format!("{error:?}") }));
    }
}

async fn run(node: &Discv5, command: Command) -> Result<Value, String> {
    match command.cmd.as_str() {
        "self" => Ok(node.local_enr().to_base64().into()),
        // Sets an entry of the own record to a string of bytes.
        "set" => {
            let value = Bytes::from(unhex(&command.hex)?);
            node.enr_insert(&command.key, &value).map_err(|error| error.to_string())?;
            Ok(node.local_enr().to_base64().into())
        }
        "ping" => {
            let start = now();
            let pong = node.send_ping(command.enr.parse()?).await;
            let pong = pong.map_err(|error| format!("{error:?}"))?;
            Ok(json!({
                "micros": start.elapsed().as_micros(),
                "enr_seq": pong.enr_seq,
                "ip": pong.ip,
                "port": pong.port,
            }))
        }
        "findnode" => {
            let found = node.find_node_designated_peer(command.enr.parse()?, command.distances);
            Ok(records(&found.await.map_err(|error| format!("{error:?}"))?))
        }
        "talk" => {
            let record: Enr = command.enr.parse()?;
            let ip_mode = if record.ip6().is_some() { IpMode::Ip6 } else { IpMode::Ip4 };
            let contact = NodeContact::try_from_enr(record, ip_mode);
            let contact = contact.map_err(|error| format!("{error:?}"))?;
            let request = unhex(&command.hex)?;
            let response = node.talk_req(contact, command.protocol.into(), request).await;
            Ok(HEX.encode(&response.map_err(|error| format!("{error:?}"))?).into())
        }
        // A whole lookup for the id of a node.
        "lookup" => {
            let target = NodeId::parse(&unhex(&command.id)?).map_err(|error| error.to_string())?;
            let found = node.find_node(target).await.map_err(|error| format!("{error:?}"))?;
            Ok(records(&found))
        }
        "addnode" => {
            node.add_enr(command.enr.parse()?)?;
            Ok(Value::Null)
        }
        "table" => {
            let entries = node.table_entries();
            let entries = entries.iter().map(|(_, record, status)| {
                json!({ "enr": record.to_base64(), "live": status.is_connected() })
            });
            Ok(entries.collect())
        }
        other => Err(format!("unknown command {other}")),
    }
}

fn records(records: &[Enr]) -> Value {
    records.iter().map(Enr::to_base64).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    HEX.decode(text.as_bytes()).map_err(|error| error.to_string())
}

fn emit(event: Value) {
    println!("{event}");
}

#[expect(clippy::disallowed_methods, reason = "the time that a real answer takes")]
fn now() -> Instant {
    Instant::now()
}
