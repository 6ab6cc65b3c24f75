use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{CONNECT_TIME, Error, Target};

/// How many addresses of a name are tried.
const ADDRESSES: usize = 4;

/// How long an address is tried alone (RFC 8305, section 5).
const ALONE: Duration = Duration::from_millis(250);

/// Connects to whichever of the addresses answers first. They are tried one after the other, the next
/// when one has failed or lets wait, IPv6 and IPv4 in turn: a name may have more addresses than are
/// tried, and all of one family may lead nowhere from here (RFC 8305).
pub(super) async fn connect(target: &Target, addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    match timeout(CONNECT_TIME, first_to_answer(in_turn(addresses))).await {
        Ok(Ok(stream)) => {
            // Small writes may wait where this fails; nothing else.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(source)) => Err(Error::Connect { target: target.clone(), source }),
        Err(_) => {
            Err(Error::Timeout { target: target.clone(), what: "did not accept a connection" })
        }
    }
}

async fn first_to_answer(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::AddrNotAvailable, "it has no address");
    let mut addresses = addresses.into_iter();
    let mut tried = FuturesUnordered::new();
    loop {
        match addresses.next() {
            Some(address) => tried.push(TcpStream::connect(address)),
            None if tried.is_empty() => return Err(failed),
            None => {}
        }
        let next_in_line = addresses.len() > 0;
        tokio::select! {
            Some(ended) = tried.next() => match ended {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            },
            () = sleep(ALONE), if next_in_line => {}
        }
    }
}

/// At most so many as are tried, the families in turn, that of the first first.
fn in_turn(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (some, others): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first);
    let (mut some, mut others) = (some.into_iter(), others.into_iter());
    let pairs = std::iter::from_fn(|| match (some.next(), others.next()) {
        (None, None) => None,
        pair => Some(pair),
    });
    pairs.flat_map(|(one, other)| one.into_iter().chain(other)).take(ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn target() -> Target {
        "h.example:443".parse().unwrap()
    }

    /// One after the other.
    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn nobody_there_is_said_at_once() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let refused = connect(&target(), &[closed, closed]).await.unwrap_err();
        assert!(matches!(refused, Error::Connect { .. }), "{refused}");
        assert!(connect(&target(), &[]).await.is_err());
    }

    #[tokio::test]
    async fn many_addresses_of_one_family_that_lead_nowhere_do_not_hide_the_other() {
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut all = vec!["[100::1]:9".parse().unwrap(); 8];
        all.push(open.local_addr().unwrap());
        let stream = connect(&target(), &all).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.local_addr().unwrap());
    }

    #[tokio::test]
    async fn an_address_that_lets_wait_does_not_hold_up_the_next() {
        let silent = Silent::new().await;
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let both = [silent.listener.local_addr().unwrap(), open.local_addr().unwrap()];
        let stream = timeout(CONNECT_TIME / 2, connect(&target(), &both)).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), both[1]);
    }

    #[test]
    fn families_take_turns() {
        let all = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        assert_eq!(in_turn(&all), addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]));
        let all = addresses(&["1.1.1.1:1", "[::1]:1", "1.1.1.2:1", "1.1.1.3:1", "1.1.1.4:1"]);
        assert_eq!(in_turn(&all), addresses(&["1.1.1.1:1", "[::1]:1", "1.1.1.2:1", "1.1.1.3:1"]));
    }

    /// A listener whose queue is full: what comes next gets no answer.
    struct Silent {
        listener: tokio::net::TcpListener,
        _waiting: Vec<TcpStream>,
    }

    impl Silent {
        async fn new() -> Self {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let listener = socket.listen(1).unwrap();
            let address = listener.local_addr().unwrap();
            let mut waiting = Vec::new();
            while let Ok(stream) =
                timeout(Duration::from_millis(200), TcpStream::connect(address)).await
            {
                waiting.push(stream.unwrap());
            }
            Self { listener, _waiting: waiting }
        }
    }
}
