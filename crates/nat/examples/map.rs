//! Maps a port and echoes what comes through it, until its input ends.
//!
//! ```text
//! cargo run -p devp2p-nat --example map -- upnp 0.0.0.0:30303
//! cargo run -p devp2p-nat --example map -- reach 192.0.2.1:30303
//! ```
//!
//! The second asks such a program whether it is there, over TCP and UDP.

use std::{env, io, net::SocketAddr, pin::pin, time::Duration};

use devp2p_nat::{Config, Driver, Nat, Socket};
use futures::StreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy, stdin},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: map NAT IP:PORT, or map reach IP:PORT";
    let mut arguments = env::args().skip(1);
    let what = arguments.next().ok_or(usage)?;
    let address = arguments.next().ok_or(usage)?.parse()?;
    if what == "reach" {
        for (protocol, reached) in [("tcp", tcp(address).await), ("udp", udp(address).await)] {
            println!("{protocol} {}", if reached.is_ok() { "reached" } else { "not reached" });
        }
        return Ok(());
    }
    let listener = TcpListener::bind(address).await?;
    let socket = UdpSocket::bind(address).await?;
    let (listens, receives) = (listener.local_addr()?, socket.local_addr()?);
    tokio::spawn(echo_tcp(listener));
    tokio::spawn(echo_udp(socket));

    let sockets = [Socket::tcp(listens), Socket::udp(receives)];
    let mut driver = Driver::new(&what.parse::<Nat>()?, &sockets, Config::default());
    let mut input = [0; 64];
    let mut stop = pin!(async { while stdin().read(&mut input).await.is_ok_and(|n| n > 0) {} });
    let mut stops = false;
    loop {
        tokio::select! {
            biased;
            () = &mut stop, if !stops => {
                stops = true;
                driver.stop();
            }
            event = driver.next() => match event {
                Some(event) => println!("{event:?}"),
                None => return Ok(()),
            }
        }
    }
}

async fn echo_tcp(listener: TcpListener) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let (mut from, mut to) = stream.split();
            copy(&mut from, &mut to).await
        });
    }
}

async fn echo_udp(socket: UdpSocket) -> io::Result<()> {
    let mut datagram = [0; 1_500];
    loop {
        let (length, from) = socket.recv_from(&mut datagram).await?;
        socket.send_to(datagram.get(..length).unwrap_or_default(), from).await?;
    }
}

const PATIENCE: Duration = Duration::from_secs(2);

async fn tcp(address: SocketAddr) -> io::Result<()> {
    let mut stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
    stream.write_all(b"hello").await?;
    let mut echo = [0; 5];
    timeout(PATIENCE, stream.read_exact(&mut echo)).await??;
    Ok(())
}

async fn udp(address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], 0))).await?;
    socket.connect(address).await?;
    socket.send(b"hello").await?;
    let mut echo = [0; 5];
    timeout(PATIENCE, socket.recv(&mut echo)).await??;
    Ok(())
}
