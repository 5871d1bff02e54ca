//! The driver on paused time, with a gateway in the program.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test")]

use std::{
    future::pending,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use devp2p_nat::{
    Config, Driver, Event, Nat, Socket,
    gateway::{Gateway, GatewayError, Mapping, Search},
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use tokio::time::{Instant, advance, timeout};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 4, 4));

/// A gateway that gives what is asked for, or never answers.
#[derive(Clone, Default)]
struct Fake(Arc<State>);

#[derive(Default)]
struct State {
    is_silent: AtomicBool,
    mappings: Mutex<Vec<(Socket, u16)>>,
    requests: Mutex<u32>,
}

impl Fake {
    fn silence(&self, is_silent: bool) {
        self.0.is_silent.store(is_silent, Ordering::SeqCst);
    }

    fn mappings(&self) -> usize {
        self.0.mappings.lock().unwrap().len()
    }

    fn answer<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&State) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, GatewayError>> {
        let state = Arc::clone(&self.0);
        async move {
            *state.requests.lock().unwrap() += 1;
            if state.is_silent.load(Ordering::SeqCst) {
                pending::<()>().await;
            }
            Ok(answer(&state))
        }
        .boxed()
    }
}

impl Search for Fake {
    fn search(&self) -> BoxFuture<'static, Result<Arc<dyn Gateway>, GatewayError>> {
        let gateway = self.clone();
        self.answer(move |_| Arc::new(gateway) as Arc<dyn Gateway>)
    }
}

impl Gateway for Fake {
    fn address(&self) -> BoxFuture<'static, Result<IpAddr, GatewayError>> {
        self.answer(|_| ADDRESS)
    }

    fn map(
        &self,
        socket: Socket,
        external_port: u16,
        lease: Duration,
    ) -> BoxFuture<'static, Result<Mapping, GatewayError>> {
        self.answer(move |state| {
            let mut mappings = state.mappings.lock().unwrap();
            mappings.retain(|(other, _)| *other != socket);
            mappings.push((socket, external_port));
            Mapping::new(external_port, lease)
        })
    }

    fn unmap(
        &self,
        socket: Socket,
        external_port: u16,
    ) -> BoxFuture<'static, Result<(), GatewayError>> {
        self.answer(move |state| {
            state.mappings.lock().unwrap().retain(|mapping| *mapping != (socket, external_port));
        })
    }

    fn name(&self) -> String {
        "a fake".to_owned()
    }
}

fn sockets() -> [Socket; 2] {
    let address = "0.0.0.0:30303".parse().unwrap();
    [Socket::tcp(address), Socket::udp(address)]
}

fn mapped(socket: Socket) -> Event {
    Event::Mapped { socket, external: (ADDRESS, 30_303).into() }
}

fn lost(socket: Socket) -> Event {
    Event::Lost { socket, external: (ADDRESS, 30_303).into() }
}

async fn next(driver: &mut Driver) -> Event {
    timeout(Duration::from_hours(1), driver.next()).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn sockets_are_mapped_and_taken_back() {
    let fake = Fake::default();
    let [tcp, udp] = sockets();
    let mut driver = Driver::with_search(fake.clone(), &[tcp, udp], Config::default());
    assert_eq!(next(&mut driver).await, Event::Address(Some(ADDRESS)));
    assert_eq!(next(&mut driver).await, mapped(tcp));
    assert_eq!(next(&mut driver).await, mapped(udp));
    // Nothing more is told in an hour of refreshes.
    timeout(Duration::from_hours(1), driver.next()).await.unwrap_err();
    assert!(*fake.0.requests.lock().unwrap() > 30);

    driver.stop();
    let told: Vec<_> = driver.by_ref().collect().await;
    assert_eq!(told, [lost(tcp), lost(udp), Event::Address(None)]);
    assert_eq!(fake.mappings(), 0);
    assert_eq!(driver.next().await, None, "it stays at its end");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_never_answers_is_given_up_each_time() {
    let fake = Fake::default();
    fake.silence(true);
    let [tcp, _] = sockets();
    let mut driver = Driver::with_search(fake.clone(), &[tcp], Config::default());
    assert_eq!((driver.gateway(), driver.failure()), (None, None));
    timeout(Duration::from_mins(11), driver.next()).await.unwrap_err();
    assert_eq!((driver.gateway(), driver.failure()), (None, Some("no answer in time")));
    assert_eq!(*fake.0.requests.lock().unwrap(), 3, "one search in about 5 minutes");
    fake.silence(false);
    let start = Instant::now();
    assert_eq!(next(&mut driver).await, Event::Address(Some(ADDRESS)));
    assert!(start.elapsed() < Duration::from_mins(6));
    assert_eq!(next(&mut driver).await, mapped(tcp));
    assert!(driver.gateway().is_some());
    assert_eq!(driver.failure(), None);

    // The lease is over when the gateway was silent for so long.
    fake.silence(true);
    let start = Instant::now();
    assert_eq!(next(&mut driver).await, lost(tcp));
    assert!(start.elapsed() <= Duration::from_mins(10));
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_bounded_in_time() {
    let fake = Fake::default();
    let mut driver = Driver::with_search(fake.clone(), &sockets(), Config::default());
    for _ in 0..3 {
        next(&mut driver).await;
    }
    fake.silence(true);
    driver.stop();
    let start = Instant::now();
    assert_eq!(driver.by_ref().count().await, 3);
    assert!(start.elapsed() <= Duration::from_millis(1_501), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_gives_up_what_is_running() {
    let fake = Fake::default();
    fake.silence(true);
    let mut driver = Driver::with_search(fake.clone(), &sockets(), Config::default());
    assert_eq!(driver.next().now_or_never(), None);
    advance(Duration::from_secs(1)).await;
    driver.stop();
    assert_eq!(driver.next().now_or_never(), Some(None));
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_gateway_asks_none() {
    let told = |nat: &str, address: &str| {
        let address = address.parse().unwrap();
        let sockets = [Socket::tcp(address), Socket::udp(address)];
        let mut driver = Driver::new(&nat.parse::<Nat>().unwrap(), &sockets, Config::default());
        async move {
            let mut told = Vec::new();
            while let Ok(Some(event)) = timeout(Duration::from_mins(10), driver.next()).await {
                told.push(event);
            }
            driver.stop();
            assert_eq!(driver.next().await, None);
            told
        }
    };
    assert_eq!(told("none", "0.0.0.0:30303").await, []);
    let address = Event::Address(Some([192, 0, 2, 1].into()));
    assert_eq!(told("extip:192.0.2.1", "0.0.0.0:30303").await, [address]);
    for nat in ["any", "upnp", "pmp", "pcp", "pmp:127.0.0.1", "stun", "stun:127.0.0.1:1"] {
        assert_eq!(told(nat, "127.0.0.1:30303").await, [], "{nat} on loopback");
    }
    for nat in ["any", "upnp", "pmp", "pcp"] {
        assert_eq!(told(nat, "192.168.1.2:30303").await, [], "{nat} in a private network");
    }
}
