//! As much of an HTTP client as one call needs.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::MAX_ANSWER;

/// The body of the answer to a POST of JSON.
pub(super) async fn post(authority: &str, path: &str, body: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(authority).await?;
    // Version 1.0: the answer ends with the connection, and is not sent in pieces.
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER as u64).read_to_end(&mut answer).await?;
    parse(answer)
}

/// The body of an answer of status 200.
fn parse(answer: Vec<u8>) -> io::Result<Vec<u8>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let Some((head, body)) = end.and_then(|end| answer.split_at_checked(end + 4)) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is not one of HTTP"));
    };
    let head = String::from_utf8_lossy(head);
    let line = head.lines().next().unwrap_or_default();
    match line.split(' ').nth(1) {
        Some("200") => Ok(body.to_vec()),
        _ => {
            let why = String::from_utf8_lossy(body);
            Err(io::Error::other(format!("{line}: {}", why.trim().escape_debug())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_answer_has_a_body() {
        let parse = |answer: &str| parse(answer.into()).map_err(|error| error.to_string());
        assert_eq!(parse("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}\r\n\r\n").unwrap(), b"{}\r\n\r\n");
        let refused = parse("HTTP/1.1 403 Forbidden\r\n\r\ninvalid host specified\n");
        assert_eq!(refused.unwrap_err(), "HTTP/1.1 403 Forbidden: invalid host specified");
        assert!(parse("SSH-2.0-x\r\n").is_err());
    }
}
