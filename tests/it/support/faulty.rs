//! A service on a port that works, or fails in one of the ways in which services fail.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a service behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nobody listens.
    Refuse,
    /// It takes the request and says nothing.
    Hang,
    /// It answers rightly, a byte each 25 ms.
    Drip,
    /// It answers with this status and nothing else.
    Status(u16),
    /// It breaks off in the middle of its answer.
    Half,
    /// It resets the connection while the request is sent.
    Reset,
}

/// A request that was taken, which is to say: answered by a service that worked.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// The body of the answer `200` to a request.
type Answer = fn(&Taken) -> String;

pub(crate) struct Faulty {
    pub(crate) url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: Option<JoinHandle<()>>,
}

struct Shared {
    answer: Answer,
    fault: Mutex<Fault>,
    taken: Mutex<Vec<Taken>>,
    /// Requests that came while it failed.
    failed: Mutex<usize>,
}

impl Faulty {
    /// One that works.
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer,
            fault: Mutex::new(Fault::None),
            taken: Mutex::default(),
            failed: Mutex::default(),
        });
        Self {
            url: format!("http://{address}"),
            address,
            listening: Some(tokio::spawn(listen(listener, Arc::clone(&shared)))),
            shared,
        }
    }

    /// Behaves so from now on.
    pub(crate) async fn set(&mut self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = fault;
        if let Some(listening) = self.listening.take_if(|_| fault == Fault::Refuse) {
            listening.abort();
            assert!(listening.await.unwrap_err().is_cancelled());
        }
        if self.listening.is_none() && fault != Fault::Refuse {
            let listener = TcpListener::bind(self.address).await.unwrap();
            let shared = Arc::clone(&self.shared);
            self.listening = Some(tokio::spawn(listen(listener, shared)));
        }
    }

    /// What was taken since this was last asked.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        std::mem::take(&mut *self.shared.taken.lock().unwrap())
    }

    /// How many requests came in vain since this was last asked.
    pub(crate) fn failed(&self) -> usize {
        std::mem::take(&mut *self.shared.failed.lock().unwrap())
    }
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        // A caller who goes away ends only their own connection.
        tokio::spawn(serve(connection, Arc::clone(&shared)));
    }
}

async fn serve(mut connection: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let fault = *shared.fault.lock().unwrap();
    if fault == Fault::Reset {
        *shared.failed.lock().unwrap() += 1;
        // What is sent and not read makes the end of a connection a reset.
        connection.read_u8().await?;
        return Ok(());
    }
    let request = read(&mut connection).await?;
    if !matches!(fault, Fault::None) {
        *shared.failed.lock().unwrap() += 1;
    }
    let body = (shared.answer)(&request);
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
    };
    match fault {
        Fault::None => {
            shared.taken.lock().unwrap().push(request);
            let answer = head(200, body.len()) + &body;
            connection.write_all(answer.as_bytes()).await
        }
        Fault::Drip => {
            let answer = head(200, body.len()) + &body;
            let mut pace = tokio::time::interval(Duration::from_millis(25));
            for byte in answer.into_bytes() {
                pace.tick().await;
                connection.write_u8(byte).await?;
            }
            Ok(())
        }
        Fault::Status(status) => connection.write_all(head(status, 0).as_bytes()).await,
        Fault::Half => {
            let answer = head(200, body.len() + 100) + &body;
            connection.write_all(answer.as_bytes()).await
        }
        Fault::Hang => {
            std::future::pending::<()>().await;
            Ok(())
        }
        Fault::Refuse | Fault::Reset => Ok(()),
    }
}

async fn read(connection: &mut TcpStream) -> std::io::Result<Taken> {
    let mut sent = Vec::new();
    let end = loop {
        if let Some(end) = sent.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        if connection.read_buf(&mut sent).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut body = sent.split_off(end + 4);
    let head = String::from_utf8(sent).unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |it| it.parse().unwrap());
    while body.len() < length {
        if connection.read_buf(&mut body).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Taken {
        path,
        headers,
        body,
    })
}
