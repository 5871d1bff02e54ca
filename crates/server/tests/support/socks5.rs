//! A SOCKS5 proxy on loopback, as strict as the specification and no more than a test needs.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    running: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    login: Option<(&'static str, &'static str)>,
    names: BTreeMap<&'static str, SocketAddr>,
    asked: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy that wants this login, if any, and knows these names.
    pub(crate) async fn start(
        login: Option<(&'static str, &'static str)>,
        names: impl IntoIterator<Item = (&'static str, SocketAddr)>,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let names = names.into_iter().collect();
        let shared = Arc::new(Shared { login, names, asked: Mutex::default() });
        let serving = Arc::clone(&shared);
        let running = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let shared = Arc::clone(&serving);
                tokio::spawn(async move {
                    let _ = shared.serve(stream).await;
                });
            }
        });
        Self { addr, shared, running }
    }

    pub(crate) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where it was asked to connect to.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Shared {
    async fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        assert_eq!(client.read_u8().await?, 5);
        let mut methods = vec![0; client.read_u8().await?.into()];
        client.read_exact(&mut methods).await?;
        let method = if self.login.is_some() { 2 } else { 0 };
        if !methods.contains(&method) {
            return client.write_all(&[5, 0xff]).await;
        }
        client.write_all(&[5, method]).await?;
        if let Some((user, password)) = self.login {
            assert_eq!(client.read_u8().await?, 1);
            let mut said = Vec::new();
            for _ in 0..2 {
                let mut part = vec![0; client.read_u8().await?.into()];
                client.read_exact(&mut part).await?;
                said.push(part);
            }
            let is_right = said == [user.as_bytes(), password.as_bytes()];
            client.write_all(&[1, u8::from(!is_right)]).await?;
            if !is_right {
                return Ok(());
            }
        }
        let mut head = [0; 4];
        client.read_exact(&mut head).await?;
        assert_eq!(head[..3], [5, 1, 0]);
        let target = match head[3] {
            1 => Ok(Ipv4Addr::from(client.read_u32().await?).into()),
            4 => Ok(Ipv6Addr::from(client.read_u128().await?).into()),
            _ => {
                let mut name = vec![0; client.read_u8().await?.into()];
                client.read_exact(&mut name).await?;
                Err(String::from_utf8(name).unwrap())
            }
        };
        let port = client.read_u16().await?;
        let (asked, target) = match target {
            Ok(ip) => (format!("{ip}:{port}"), Some(SocketAddr::new(ip, port))),
            Err(name) => (format!("{name}:{port}"), self.names.get(name.as_str()).copied()),
        };
        self.asked.lock().unwrap().push(asked);
        let Some(target) = target else {
            return client.write_all(&[5, 4, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        };
        let Ok(mut node) = TcpStream::connect(target).await else {
            return client.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
        };
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        copy_bidirectional(&mut client, &mut node).await?;
        Ok(())
    }
}
