//! The resolver with a name server of a few lines on loopback.

use std::net::SocketAddr;

use devp2p_dnsdisc::{HickoryResolver, LookupError, Resolver, Txt};
use tokio::net::UdpSocket;

/// Answers questions for `two.example` with a TXT record of two strings and a second record, is
/// silent on `silent.example`, and knows no other name.
async fn serve(socket: UdpSocket) {
    let mut buffer = [0; 512];
    loop {
        let Ok((size, from)) = socket.recv_from(&mut buffer).await else { return };
        let query = &buffer[..size];
        let end = 12 + query[12..].iter().position(|&byte| byte == 0).unwrap() + 5;
        let question = &query[12..end];
        let is = |name: &str| question.windows(name.len()).any(|part| part == name.as_bytes());
        if is("silent") {
            continue;
        }
        let records: Vec<Vec<&str>> =
            if is("two") { vec![vec!["one,", "two"], vec!["v=spf1"]] } else { vec![] };
        // An answer with authority; NXDOMAIN where there is none.
        let code = if records.is_empty() { 3 } else { 0 };
        let mut answer = query[..2].to_vec();
        let count = u8::try_from(records.len()).unwrap();
        answer.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(question);
        for strings in records {
            let size: usize = strings.iter().map(|string| string.len() + 1).sum();
            answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, u8::try_from(size).unwrap()]);
            for string in strings {
                answer.push(u8::try_from(string.len()).unwrap());
                answer.extend(string.bytes());
            }
        }
        socket.send_to(&answer, from).await.unwrap();
    }
}

#[tokio::test]
async fn strings_are_joined_and_missing_names_are_told_from_silence() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server: SocketAddr = socket.local_addr().unwrap();
    tokio::spawn(serve(socket));
    let resolver = HickoryResolver::from_servers([server]).unwrap();
    let found = resolver.lookup_txt("two.example").await;
    assert_eq!(found, Ok(vec![Txt::from("one,two"), Txt::from("v=spf1")]));
    assert_eq!(resolver.lookup_txt("none.example").await, Err(LookupError::NotFound));
    assert_eq!(resolver.lookup_txt("silent.example").await, Err(LookupError::Timeout));
    let bad = resolver.lookup_txt(&"x".repeat(70)).await;
    assert!(matches!(bad, Err(LookupError::Failed(_))), "{bad:?}");
}
