//! Dials a node, prints its Hello, and disconnects: `cargo run --example hello -- enode://...`

use devp2p_core::{Node, NodeKey};
use devp2p_peer::{Capability, Config, DisconnectReason, Hello, hello};
use devp2p_rlpx::connect_tcp;
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node: Node = std::env::args().nth(1).ok_or("usage: hello ENODE")?.parse()?;
    let address = node.tcp_addr().ok_or("the node has no TCP address")?;
    let key = NodeKey::generate()?;

    let stream = TcpStream::connect(address).await?;
    let limits = devp2p_rlpx::Config::default();
    let connection = connect_tcp(stream, &key, &node.public_key(), &limits).await?;

    let (config, capabilities) = (Config::default(), vec![Capability::new("eth", 69)]);
    let ours = Hello::new("hello/example", capabilities, key.public_key());
    let remote = hello(Box::pin(connection), &ours, &config).await?;
    let theirs = remote.hello();
    println!("name:         {}", theirs.name);
    println!("version:      {}", theirs.version);
    for capability in &theirs.capabilities {
        println!("capability:   {capability}");
    }
    println!("listens on:   {}", theirs.listen_port);
    remote.disconnect(DisconnectReason::Requested, config.linger).await;
    Ok(())
}
