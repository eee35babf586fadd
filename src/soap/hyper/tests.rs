use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;
use crate::host::testing;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(settings: Settings) -> Self {
        let server = Server::new(testing::host(), settings)
            .route("/healthz", page(|_, _| Response::new(full("well\n"))))
            .route("/ends", page(|_, ends| Response::new(full(ends.local.to_string()))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = Arc::new(server).serve(listener, None, async { drop(stopped.await) });
        Self { address, stop, task: tokio::spawn(serving) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends and reads until the other side closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end too.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

fn post(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: gate.local:81\r\nConnection: close\r\n\
         Content-Type: application/soap+xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn services_and_routes_share_a_port() {
    let running = Running::start(Settings::default()).await;
    let answer = running.exchange(&post("/onvif/test", &testing::request("Where"))).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("http://gate.local:81/onvif/test"), "{answer}");
    for (request, start) in [
        ("GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"),
        ("GET /healthz/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200"),
        ("GET /healthzx HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 404"),
        ("GET /onvif/test HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "HTTP/1.1 405"),
        ("garbage\r\n\r\n", "HTTP/1.1 400"),
    ] {
        let answer = running.exchange(request).await;
        assert!(answer.starts_with(start), "{request}: {answer}");
    }
    let ends = running.exchange("GET /ends HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert!(ends.ends_with(&running.address.to_string()));
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let running = Running::start(Settings::default()).await;
    let mut stream = running.connect().await;
    let one = post("/onvif/test", &testing::request("Where")).replace("Connection: close\r\n", "");
    for _ in 0..3 {
        stream.write_all(one.as_bytes()).await.unwrap();
        let mut seen = String::new();
        while !seen.contains("</env:Envelope>") {
            let mut chunk = [0; 4096];
            let n = stream.read(&mut chunk).await.unwrap();
            assert_ne!(n, 0, "closed after {seen}");
            seen.push_str(std::str::from_utf8(&chunk[..n]).unwrap());
        }
    }
}

#[tokio::test]
async fn long_bodies_are_refused_announced_or_not() {
    let running = Running::start(Settings { body_bytes: 1000, ..Settings::default() }).await;
    let long = "x".repeat(1001);
    assert!(running.exchange(&post("/onvif/test", &long)).await.starts_with("HTTP/1.1 413"));
    let chunked = format!(
        "POST /onvif/test HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n{long}\r\n0\r\n\r\n"
    );
    assert!(running.exchange(&chunked).await.starts_with("HTTP/1.1 413"));
    let many: String = (0..65).map(|i| format!("X-{i}: y\r\n")).collect();
    let headers = format!("GET /healthz HTTP/1.1\r\nHost: h\r\n{many}\r\n");
    assert!(running.exchange(&headers).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn slow_senders_are_cut() {
    let settings = Settings {
        head_timeout: Duration::from_millis(150),
        body_timeout: Duration::from_millis(150),
        ..Settings::default()
    };
    let running = Running::start(settings).await;
    // Neither an idle connection, nor half a head, nor half a body keeps a place.
    for part in ["", "POST /onvif/test HTTP/1.1\r\nHost: h\r\nX-A"] {
        let answer = running.exchange(part).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let half = "POST /onvif/test HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n<a";
    assert!(running.exchange(half).await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn clients_that_take_no_answer_are_cut() {
    let stall_timeout = Duration::from_millis(200);
    let settings =
        Settings { stall_timeout, drain: Duration::from_secs(60), ..Settings::default() };
    let server = Server::new(testing::host(), settings)
        .route("/big", page(|_, _| Response::new(full(vec![0_u8; 64 << 20]))));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving =
        tokio::spawn(Arc::new(server).serve(listener, None, async { drop(stopped.await) }));
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    // Takes the beginning, then nothing. The server waits for the request to end, and it does.
    let mut head = [0; 17];
    stream.read_exact(&mut head).await.unwrap();
    stop.send(()).unwrap();
    timeout(Duration::from_secs(10), serving).await.expect("was never cut").unwrap();
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let settings = Settings { connections_per_address: 2, ..Settings::default() };
    let running = Running::start(settings).await;
    let get = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = running.connect().await;
        stream.write_all(get.as_bytes()).await.unwrap();
        let mut chunk = [0; 512];
        assert_ne!(stream.read(&mut chunk).await.unwrap(), 0);
        kept.push(stream);
    }
    let mut third = running.connect().await;
    let _ = third.write_all(get.as_bytes()).await;
    assert_eq!(read_all(&mut third).await, "", "closed without an answer");

    let census = Census::new(&Settings { connections: 2, ..settings });
    let (a, b) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let first = census.enter(a).unwrap();
    let _second = census.enter(b).unwrap();
    assert!(census.enter(b).is_none(), "full");
    drop(first);
    assert!(census.enter(a).is_some(), "a place was given back");
}

#[tokio::test]
async fn stopping_lets_a_running_request_end() {
    let running = Running::start(Settings::default()).await;
    let mut idle = running.connect().await;
    let mut busy = running.connect().await;
    busy.write_all(post("/onvif/test", &testing::request("Wait")).as_bytes()).await.unwrap();
    testing::waiting().await;
    running.stop.send(()).unwrap();
    assert_eq!(read_all(&mut idle).await, "", "idle connections close at once");
    testing::go_on();
    let answer = read_all(&mut busy).await;
    assert!(answer.contains("WaitResponse"), "{answer}");
    timeout(Duration::from_secs(5), running.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

/// Takes what begins with `GET /tunnel` and answers with what it was given.
#[derive(Debug)]
struct Echo;

impl Diversion for Echo {
    fn takes(&self, first: &[u8]) -> Option<bool> {
        let sign = b"GET /tunnel ";
        match first.len() < sign.len() && sign.starts_with(first) {
            true => None,
            false => Some(first.starts_with(sign)),
        }
    }

    fn serve(
        &self,
        mut stream: Box<dyn Stream>,
        first: BytesMut,
        ends: Ends,
    ) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            assert!(!ends.secure);
            let _ = stream.write_all(&first).await;
            let mut more = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut more).await {
                let _ = stream.write_all(&more[..n]).await;
            }
        })
    }
}

#[tokio::test]
async fn a_connection_for_somebody_else_is_handed_over_whole() {
    let server = Server::new(testing::host(), Settings::default()).divert(Arc::new(Echo));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(Arc::new(server).serve(listener, None, async { drop(stopped.await) }));
    let running = Running { address, stop, task };
    // Byte by byte: neither it nor a service loses any.
    let mut tunnel = running.connect().await;
    for byte in b"GET /tunnel and what follows" {
        tunnel.write_all(&[*byte]).await.unwrap();
    }
    let mut echo = [0; 28];
    tunnel.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"GET /tunnel and what follows");
    let mut service = running.connect().await;
    for byte in post("/onvif/test", &testing::request("Where")).bytes() {
        service.write_all(&[byte]).await.unwrap();
    }
    assert!(read_all(&mut service).await.starts_with("HTTP/1.1 200"));
    // What was handed over ends with the server.
    running.stop.send(()).unwrap();
    assert_eq!(tunnel.read(&mut [0; 8]).await.unwrap_or(0), 0);
    running.task.await.unwrap();
}
