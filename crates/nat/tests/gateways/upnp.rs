//! An Internet Gateway Device on loopback: what it answers to searches, and its HTTP.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use devp2p_nat::{
    Config, Driver, Event, Socket,
    gateway::{Gateway, GatewayError, Search, Upnp},
};
use futures::{FutureExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

const LEASE: Duration = Duration::from_mins(10);

const DESCRIPTION: &str = r#"<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANDevice:1</deviceType><deviceList><device>
<deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<controlURL>/control</controlURL><SCPDURL>/schema</SCPDURL>
</service></serviceList></device></deviceList></device></deviceList></device></root>"#;

/// How the device behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Manner {
    #[default]
    Good,
    /// It knows no leases that end.
    Permanent,
    /// Port 30303 is somebody else's.
    Taken,
    /// It tells no address.
    Disconnected,
    /// A description without an end, in time or in bytes.
    Slow,
    Endless,
    /// One of many thousand levels.
    Deep,
    /// It sends the client to another host.
    Elsewhere,
}

#[derive(Clone, Default)]
struct Device {
    manner: Manner,
    /// Protocol, external port, internal port and client, lease, name.
    mappings: Arc<Mutex<Vec<[String; 6]>>>,
}

impl Device {
    /// Serves, and tells where it answers searches.
    async fn start(&self) -> SocketAddr {
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ssdp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, search_at) = (http.local_addr().unwrap(), ssdp.local_addr().unwrap());
        let is_elsewhere = self.manner == Manner::Elsewhere;
        let host = if is_elsewhere { format!("127.0.0.2:{}", at.port()) } else { at.to_string() };
        tokio::spawn(async move {
            let mut search = [0; 1_500];
            loop {
                let Ok((length, client)) = ssdp.recv_from(&mut search).await else { continue };
                assert!(search[..length].starts_with(b"M-SEARCH * HTTP/1.1\r\n"));
                let noise =
                    [&[0xff; 1_400][..], b"HTTP/1.1 200 OK\r\n\r\n", b"LOCATION: ftp://a\r\n"];
                for noise in noise {
                    let _ = ssdp.send_to(noise, client).await;
                }
                let answer = format!("HTTP/1.1 200 OK\r\nLOCATION: http://{host}/device\r\n\r\n");
                let _ = ssdp.send_to(answer.as_bytes(), client).await;
            }
        });
        let device = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = http.accept().await.unwrap();
                assert!(!is_elsewhere, "somebody follows it");
                // The client may hang up at any time.
                tokio::spawn(device.clone().serve(stream).map(drop));
            }
        });
        search_at
    }

    async fn serve(self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let mut request = String::new();
            let body = loop {
                let mut bytes = [0; 4_096];
                let length = stream.read(&mut bytes).await?;
                if length == 0 {
                    return Ok(());
                }
                request.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
                let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .filter_map(|line| line.split_once(": "))
                    .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                    .map_or(0, |(_, length)| length.parse().unwrap());
                if body.len() >= length {
                    break body;
                }
            };
            let (code, answer) = match request.split_ascii_whitespace().nth(1).unwrap() {
                "/device" => (200, self.description(&mut stream).await?),
                "/schema" => (200, schema()),
                "/control" => self.control(body),
                path => panic!("{path}"),
            };
            let length = answer.len();
            let answer = format!("HTTP/1.1 {code} -\r\nContent-Length: {length}\r\n\r\n{answer}");
            stream.write_all(answer.as_bytes()).await?;
        }
    }

    async fn description(&self, stream: &mut TcpStream) -> std::io::Result<String> {
        match self.manner {
            Manner::Slow | Manner::Endless => {
                stream.write_all(b"HTTP/1.1 200 -\r\n\r\n<root>").await?;
                loop {
                    if self.manner == Manner::Slow {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        stream.write_all(b" ").await?;
                    } else {
                        stream.write_all(&[b' '; 65_536]).await?;
                    }
                }
            }
            Manner::Deep => Ok("<a>".repeat(100_000)),
            _ => Ok(DESCRIPTION.to_owned()),
        }
    }

    fn control(&self, body: &str) -> (u16, String) {
        let field = |name: &str| {
            let rest = body.split_once(&format!("<{name}>")).map_or("", |(_, rest)| rest);
            rest.split_once("</").map_or(String::new(), |(value, _)| value.to_owned())
        };
        let mut mappings = self.mappings.lock().unwrap();
        if body.contains("GetExternalIPAddress") {
            let ip = if self.manner == Manner::Disconnected { "" } else { "8.8.4.4" };
            return ok(
                "GetExternalIPAddress",
                &format!("<NewExternalIPAddress>{ip}</NewExternalIPAddress>"),
            );
        }
        let (protocol, port) = (field("NewProtocol"), field("NewExternalPort"));
        let is_there = |mapping: &[String; 6]| mapping[0] == protocol && mapping[1] == port;
        if body.contains("DeletePortMapping") {
            let before = mappings.len();
            mappings.retain(|mapping| !is_there(mapping));
            return if mappings.len() < before { ok("DeletePortMapping", "") } else { fault(714) };
        }
        assert!(body.contains("AddPortMapping"), "{body}");
        let lease = field("NewLeaseDuration");
        if self.manner == Manner::Permanent && lease != "0" {
            return fault(725);
        }
        if self.manner == Manner::Taken && port == "30303" {
            return fault(718);
        }
        mappings.retain(|mapping| !is_there(mapping));
        let (internal, client) = (field("NewInternalPort"), field("NewInternalClient"));
        let name = field("NewPortMappingDescription");
        mappings.push([protocol, port, internal, client, lease, name]);
        ok("AddPortMapping", "")
    }
}

fn ok(action: &str, inside: &str) -> (u16, String) {
    (200, envelope(&format!("<u:{action}Response xmlns:u=\"u\">{inside}</u:{action}Response>")))
}

fn fault(code: u16) -> (u16, String) {
    let error = format!("<errorCode>{code}</errorCode><errorDescription>no</errorDescription>");
    let error = format!("<UPnPError xmlns=\"u\">{error}</UPnPError>");
    (500, envelope(&format!("<s:Fault><detail>{error}</detail></s:Fault>")))
}

fn envelope(body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn schema() -> String {
    let action = |name: &str, arguments: &[&str]| {
        let argument = |name: &&str| {
            format!("<argument><name>{name}</name><direction>in</direction></argument>")
        };
        let arguments: String = arguments.iter().map(argument).collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let key = ["NewRemoteHost", "NewExternalPort", "NewProtocol"];
    let rest = [
        "NewInternalPort",
        "NewInternalClient",
        "NewEnabled",
        "NewPortMappingDescription",
        "NewLeaseDuration",
    ];
    let actions = [
        action("AddPortMapping", &[&key[..], &rest].concat()),
        action("DeletePortMapping", &key),
        action("GetExternalIPAddress", &[]),
    ];
    format!("<scpd><actionList>{}</actionList></scpd>", actions.concat())
}

fn tcp() -> Socket {
    Socket::tcp("0.0.0.0:30303".parse().unwrap())
}

async fn found(manner: Manner) -> (Device, Result<Arc<dyn Gateway>, GatewayError>) {
    let device = Device { manner, ..Device::default() };
    let at = device.start().await;
    let found = timeout(Duration::from_secs(8), Upnp::at(at).search()).await.unwrap();
    (device, found)
}

#[tokio::test]
async fn a_device_tells_the_address_and_maps() {
    let (device, gateway) = found(Manner::Good).await;
    let gateway = gateway.unwrap();
    assert_eq!(gateway.address().await.unwrap().to_string(), "8.8.4.4");
    for _ in 0..2 {
        let mapped = gateway.map(tcp(), 30_303, LEASE).await.unwrap();
        assert_eq!((mapped.external_port, mapped.lease), (30_303, LEASE));
    }
    let there = ["TCP", "30303", "30303", "127.0.0.1", "600", "ethereum p2p"].map(str::to_owned);
    assert_eq!(*device.mappings.lock().unwrap(), [there]);
    gateway.unmap(tcp(), 30_303).await.unwrap();
    assert!(device.mappings.lock().unwrap().is_empty());
    let gone = gateway.unmap(tcp(), 30_303).await;
    assert!(matches!(gone, Err(GatewayError::Refused(_))), "{gone:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_becomes_another() {
    let (device, gateway) = found(Manner::Taken).await;
    let mapped = gateway.unwrap().map(tcp(), 30_303, LEASE).await.unwrap();
    assert_ne!(mapped.external_port, 30_303);
    assert_eq!(device.mappings.lock().unwrap()[0][1], mapped.external_port.to_string());
}

#[tokio::test]
async fn a_lease_without_end_is_taken_where_there_is_no_other() {
    let (device, gateway) = found(Manner::Permanent).await;
    let mapped = gateway.unwrap().map(tcp(), 30_303, LEASE).await.unwrap();
    assert_eq!(mapped.lease, LEASE, "and refreshed all the same");
    assert_eq!(device.mappings.lock().unwrap()[0][4], "0");
}

#[tokio::test]
async fn no_address_is_an_error() {
    let (_, gateway) = found(Manner::Disconnected).await;
    let refused = gateway.unwrap().address().await;
    assert!(matches!(refused, Err(GatewayError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_node_is_mapped_and_goes() {
    let device = Device::default();
    let search = Upnp::at(device.start().await);
    let mut driver = Driver::with_search(search, &[tcp()], Config::default());
    let mut next = async || timeout(Duration::from_secs(8), driver.next()).await.unwrap();
    assert_eq!(next().await, Some(Event::Address(Some([8, 8, 4, 4].into()))));
    let external = "8.8.4.4:30303".parse().unwrap();
    assert_eq!(next().await, Some(Event::Mapped { socket: tcp(), external }));
    driver.stop();
    assert_eq!(driver.count().await, 2);
    assert!(device.mappings.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_has_no_end_ends_and_who_points_elsewhere_is_not_believed() {
    let search = async |manner| {
        let start = Instant::now();
        let (_, result) = found(manner).await;
        assert!(matches!(result, Err(GatewayError::NotFound)), "{manner:?}: {:?}", result.err());
        assert!(start.elapsed() < Duration::from_secs(7), "{manner:?}");
    };
    tokio::join!(
        search(Manner::Slow),
        search(Manner::Endless),
        search(Manner::Deep),
        search(Manner::Elsewhere)
    );
}
