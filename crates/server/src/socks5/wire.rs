//! What is said to a SOCKS5 proxy, and what it answers.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::error::{Socks5Error, Socks5Refusal};

/// The version of the protocol.
const VERSION: u8 = 0x05;

/// The version of the exchange of user name and password (RFC 1929).
const LOGIN_VERSION: u8 = 0x01;

// The methods of a login.
const NO_LOGIN: u8 = 0x00;
const PASSWORD: u8 = 0x02;

/// The command that opens a connection.
const CONNECT: u8 = 0x01;

// The kinds of addresses.
const IPV4: u8 = 0x01;
const NAME: u8 = 0x03;
const IPV6: u8 = 0x04;

/// Where the proxy is to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Addr(SocketAddr),
    Name(String, u16),
}

/// A user name and a password, in the form in which they are sent.
#[derive(Clone)]
pub(super) struct Login(Zeroizing<Vec<u8>>);

impl Login {
    /// None where one has no byte, or more than a byte can count.
    pub(super) fn new(user: &[u8], password: &[u8]) -> Option<Self> {
        let length = |part: &[u8]| u8::try_from(part.len()).ok().filter(|&length| length > 0);
        let lengths = (length(user)?, length(password)?);
        let size = user.len().checked_add(password.len())?.checked_add(3)?;
        // Never moved: what is moved leaves a copy behind.
        let mut message = Zeroizing::new(Vec::with_capacity(size));
        message.extend([LOGIN_VERSION, lengths.0]);
        message.extend(user);
        message.push(lengths.1);
        message.extend(password);
        Some(Self(message))
    }
}

/// Has the proxy at the other end of `stream` connect it to `target`. Not a byte of what the target
/// says is read.
///
/// Not cancel-safe: drop the stream as well.
pub(super) async fn handshake(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &Target,
    login: Option<&Login>,
) -> Result<(), Socks5Error> {
    let request = request(target)?;
    let greeting: &[u8] = match login {
        Some(_) => &[VERSION, 2, NO_LOGIN, PASSWORD],
        None => &[VERSION, 1, NO_LOGIN],
    };
    stream.write_all(greeting).await?;
    let [version, method] = read(stream).await?;
    if version != VERSION {
        return Err(Socks5Error::Malformed);
    }
    match (method, login) {
        (NO_LOGIN, _) => {}
        (PASSWORD, Some(Login(message))) => {
            stream.write_all(message).await?;
            // Some answer with the version of the protocol in place of that of this exchange.
            let [_, status] = read(stream).await?;
            if status != 0 {
                return Err(Socks5Error::Login);
            }
        }
        _ => return Err(Socks5Error::Method),
    }
    stream.write_all(&request).await?;
    let [version, code, _reserved] = read(stream).await?;
    if version != VERSION {
        return Err(Socks5Error::Malformed);
    }
    if code != 0 {
        // Whatever follows is of no interest.
        return Err(Socks5Error::Refused(Socks5Refusal::from_code(code)));
    }
    // Where it dials from. Many do not tell, and none needs to tell the truth.
    let [kind] = read(stream).await?;
    let length = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [length] = read(stream).await?;
            usize::from(length)
        }
        _ => return Err(Socks5Error::Malformed),
    };
    let mut address = [0; u8::MAX as usize];
    let address = address.get_mut(..length).ok_or(Socks5Error::Malformed)?;
    stream.read_exact(address).await?;
    let _port: [u8; 2] = read(stream).await?;
    Ok(())
}

async fn read<const N: usize>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<[u8; N], Socks5Error> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The request for a connection.
fn request(target: &Target) -> Result<Vec<u8>, Socks5Error> {
    let mut request = vec![VERSION, CONNECT, 0];
    let port = match target {
        Target::Addr(addr) => {
            match addr.ip() {
                IpAddr::V4(ip) => {
                    request.push(IPV4);
                    request.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    request.push(IPV6);
                    request.extend(ip.octets());
                }
            }
            addr.port()
        }
        Target::Name(name, port) => {
            let length = u8::try_from(name.len()).ok().filter(|&length| length > 0);
            request.extend([NAME, length.ok_or(Socks5Error::Name)?]);
            request.extend(name.as_bytes());
            *port
        }
    };
    request.extend(port.to_be_bytes());
    Ok(request)
}

#[cfg(test)]
impl Login {
    /// The user name and the password.
    pub(super) fn parts(&self) -> [Vec<u8>; 2] {
        let (user, rest) = self.0[2..].split_at(self.0[1].into());
        [user.to_vec(), rest[1..].to_vec()]
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What is said to a proxy that answers so, and what came of it. The proxy says all at once:
    /// what it says for the node must stay in the stream.
    async fn talk(
        target: &Target,
        login: Option<&Login>,
        answers: Parts<'_>,
    ) -> (Vec<u8>, Result<Vec<u8>, Socks5Error>) {
        let (mut ours, mut proxy) = duplex(1_024);
        proxy.write_all(&answers.concat()).await.unwrap();
        proxy.shutdown().await.unwrap();
        let outcome = match handshake(&mut ours, target, login).await {
            Ok(()) => {
                let mut rest = Vec::new();
                ours.read_to_end(&mut rest).await.unwrap();
                Ok(rest)
            }
            Err(error) => Err(error),
        };
        drop(ours);
        let mut said = Vec::new();
        proxy.read_to_end(&mut said).await.unwrap();
        (said, outcome)
    }

    /// What is said in turn.
    type Parts<'a> = &'a [&'a [u8]];

    fn addr(text: &str) -> Target {
        Target::Addr(text.parse().unwrap())
    }

    const CONNECTED: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    #[tokio::test]
    async fn messages_are_those_of_the_specifications() {
        let login = Login::new(b"alice", b"pass").unwrap();
        let v4 = addr("192.0.2.1:30303");
        let name = Target::Name("a.example".to_owned(), 258);
        let cases: [(&Target, Option<&Login>, Parts<'_>, Parts<'_>); 4] = [
            (
                &v4,
                None,
                &[&[5, 0], CONNECTED, b"hi"],
                &[&[5, 1, 0], &[5, 1, 0, 1, 192, 0, 2, 1, 0x76, 0x5f]],
            ),
            (
                &addr("[2001:db8::1]:1"),
                None,
                &[&[5, 0], &[5, 0, 0, 4], &[0; 18], b"hi"],
                &[&[5, 1, 0], &[5, 1, 0, 4, 0x20, 1, 0xd, 0xb8], &[0; 11], &[1, 0, 1]],
            ),
            (
                &name,
                Some(&login),
                &[&[5, 2], &[1, 0], &[5, 0, 0, 3, 2], b"ab", &[0, 1], b"hi"],
                &[
                    &[5, 2, 0, 2],
                    &[1, 5],
                    b"alice",
                    &[4],
                    b"pass",
                    &[5, 1, 0, 3, 9],
                    b"a.example",
                    &[1, 2],
                ],
            ),
            // It may want no login after all.
            (
                &v4,
                Some(&login),
                &[&[5, 0], CONNECTED, b"hi"],
                &[&[5, 2, 0, 2], &[5, 1, 0, 1, 192, 0, 2, 1, 0x76, 0x5f]],
            ),
        ];
        for (target, login, answers, expected) in cases {
            let (said, outcome) = talk(target, login, answers).await;
            assert_eq!(said, expected.concat(), "{target:?}");
            assert_eq!(outcome.unwrap(), b"hi", "{target:?}");
        }
    }

    #[tokio::test]
    async fn each_failure_has_its_error() {
        let login = Login::new(b"a", b"b").unwrap();
        let target = addr("192.0.2.1:30303");
        let cases: [(Option<&Login>, Parts<'_>, &str); 11] = [
            (None, &[b"HTTP/1.1 400"], "what answers is not a socks5 proxy"),
            (None, &[&[4, 0]], "what answers is not a socks5 proxy"),
            (None, &[&[5, 0xff]], "the proxy wants a login that is not known"),
            (None, &[&[5, 2]], "the proxy wants a login that is not known"),
            (Some(&login), &[&[5, 1]], "the proxy wants a login that is not known"),
            (Some(&login), &[&[5, 2], &[1, 1]], "the proxy refuses the user name and the password"),
            (None, &[&[5, 0], &[4, 0, 0, 1]], "what answers is not a socks5 proxy"),
            (None, &[&[5, 0], &[5, 0, 0, 2]], "what answers is not a socks5 proxy"),
            (None, &[&[5, 0], &[5, 5, 0]], "the proxy did not reach the node: connection refused"),
            (None, &[&[5, 0], &[5, 0xf0, 0]], "the proxy did not reach the node: code 0xf0"),
            (None, &[&[5]], "the connection to the proxy broke: early eof"),
        ];
        for (login, answers, expected) in cases {
            let (_, outcome) = talk(&target, login, answers).await;
            assert_eq!(outcome.unwrap_err().to_string(), expected, "{answers:?}");
        }
        for length in [0, 256] {
            let target = Target::Name("x".repeat(length), 1);
            let (said, outcome) = talk(&target, None, &[]).await;
            assert!(matches!(outcome, Err(Socks5Error::Name)), "{length}");
            assert_eq!(said, b"", "nothing is said in vain");
        }
    }

    #[tokio::test]
    async fn every_truncation_is_an_error() {
        let login = Login::new(b"a", b"b").unwrap();
        let answers = [&[5, 2, 1, 0, 5, 0, 0, 3, 2][..], b"ab", &[0, 1]].concat();
        for length in 0..answers.len() {
            let answers = answers.get(..length).unwrap();
            let (_, outcome) = talk(&addr("192.0.2.1:1"), Some(&login), &[answers]).await;
            assert!(matches!(outcome, Err(Socks5Error::Io(_))), "{length}: {outcome:?}");
        }
        assert!(talk(&addr("192.0.2.1:1"), Some(&login), &[&answers]).await.1.is_ok());
    }
}
