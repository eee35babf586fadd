//! Tests of the production transports against a small web server on a free port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::hyper::body::Incoming;
use ::hyper::server::conn::http1;
use ::hyper::service::service_fn;
use ::tokio::net::TcpListener;
use ::tokio::sync::Notify;
use bytes::Bytes;
use digest_auth::{AuthContext, AuthorizationHeader, HttpMethod};
use dvrgate_model::ErrorKind;
use futures::StreamExt;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;

use super::hyper::HyperTransports;
use super::tokio::SystemClock;
use super::{HttpRequest, Transports};
use crate::{Cx, DeviceLimits, DeviceSettings, Priority};

/// How the server behaves.
struct Manners {
    /// Challenges without nonce; `None`: no log-in.
    offers: Vec<&'static str>,
    password: Mutex<&'static str>,
    /// A nonce is good for that many requests.
    nonce_uses: usize,
    /// Whether it says that a nonce grew old.
    says_stale: bool,
    /// Closes the connection after each answer.
    closes: bool,
    /// Waits here before it answers `/slow`.
    gate: Notify,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            offers: vec![r#"Digest realm="r", qop="auth", algorithm=MD5"#],
            password: Mutex::new("right"),
            nonce_uses: usize::MAX,
            says_stale: true,
            closes: false,
            gate: Notify::new(),
        }
    }
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    /// Requests without credentials.
    bare: AtomicUsize,
    /// Wrong credentials (an old nonce is none).
    wrong: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
    times: Mutex<Vec<Instant>>,
}

struct Server {
    manners: Manners,
    counts: Counts,
    nonce: Mutex<(usize, usize)>,
}

impl Server {
    async fn start(manners: Manners) -> (Arc<Self>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server =
            Arc::new(Self { manners, counts: Counts::default(), nonce: Mutex::new((1, 0)) });
        let serving = Arc::clone(&server);
        ::tokio::spawn(async move {
            loop {
                let (io, _) = listener.accept().await.unwrap();
                serving.counts.connections.fetch_add(1, Ordering::SeqCst);
                let server = Arc::clone(&serving);
                ::tokio::spawn(async move {
                    let service = service_fn(|r| Arc::clone(&server).answer(r));
                    let connection =
                        http1::Builder::new().serve_connection(TokioIo::new(io), service);
                    connection.await.ok();
                });
            }
        });
        (server, port)
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
        let c = &self.counts;
        c.requests.fetch_add(1, Ordering::SeqCst);
        c.times.lock().push(Instant::now());
        c.most.fetch_max(c.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        if head.uri.path() == "/slow" {
            self.manners.gate.notified().await;
        }
        // Gives other requests the chance to overlap.
        ::tokio::task::yield_now().await;
        let mut response = match self.check(&head) {
            Ok(()) => {
                let text = format!("{} {} {}", head.method, head.uri, body.len());
                Response::new(Full::new(Bytes::from(text)))
            }
            Err(stale) => {
                let mut r = Response::new(Full::new(Bytes::from_static(b"denied")));
                *r.status_mut() = StatusCode::UNAUTHORIZED;
                for offer in &self.manners.offers {
                    let nonce = self.nonce.lock().0;
                    let text = match offer.starts_with("Digest") {
                        true => format!("{offer}, nonce=\"n{nonce}\", stale={stale}"),
                        false => (*offer).to_owned(),
                    };
                    r.headers_mut().append(WWW_AUTHENTICATE, text.parse().unwrap());
                }
                r
            }
        };
        if self.manners.closes {
            response.headers_mut().insert("connection", "close".parse().unwrap());
        }
        c.now.fetch_sub(1, Ordering::SeqCst);
        Ok(response)
    }

    /// `Err` says whether the nonce is called stale.
    fn check(&self, head: &http::request::Parts) -> Result<(), bool> {
        if self.manners.offers.is_empty() {
            return Ok(());
        }
        let Some(given) = head.headers.get(AUTHORIZATION) else {
            self.counts.bare.fetch_add(1, Ordering::SeqCst);
            return Err(false);
        };
        let given = given.to_str().unwrap();
        let wrong = || {
            self.counts.wrong.fetch_add(1, Ordering::SeqCst);
            Err(false)
        };
        let password = *self.manners.password.lock();
        if given.starts_with("Basic") {
            // "viewer:right" in base64.
            return if given == "Basic dmlld2VyOnJpZ2h0" { Ok(()) } else { wrong() };
        }
        let given = AuthorizationHeader::parse(given).unwrap();
        assert_eq!(given.uri, head.uri.to_string(), "digest uri is the whole target");
        let mut expected = given.clone();
        let method = HttpMethod(head.method.as_str().into());
        let context = AuthContext::new_with_method(
            "viewer",
            password,
            given.uri.as_str(),
            Option::<&[u8]>::None,
            method,
        );
        expected.digest(&context);
        if expected.response != given.response {
            return wrong();
        }
        let mut nonce = self.nonce.lock();
        if given.nonce != format!("n{}", nonce.0) {
            return Err(self.manners.says_stale);
        }
        nonce.1 += 1;
        if nonce.1 >= self.manners.nonce_uses {
            *nonce = (nonce.0 + 1, 0);
        }
        Ok(())
    }

    fn wrong(&self) -> usize {
        self.counts.wrong.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

fn settings(port: u16, password: &str) -> DeviceSettings {
    DeviceSettings {
        id: "yard".into(),
        url: format!("http://127.0.0.1:{port}/").parse().unwrap(),
        rtsp: None,
        username: "viewer".into(),
        password: password.into(),
        zone: None,
    }
}

const LIMITS: DeviceLimits =
    DeviceLimits { requests_per_second: 5000.0, parallel_requests: 3, logins_before_lockout: 5 };

fn client(port: u16, password: &str) -> (Arc<HyperTransports>, Cx) {
    let transports = Arc::new(HyperTransports::new(&settings(port, password), &LIMITS).unwrap());
    let cx = Cx {
        transports: Arc::clone(&transports) as Arc<dyn Transports>,
        deadline: None,
        priority: Priority::Replay,
        clock: Arc::new(SystemClock),
    };
    (transports, cx)
}

#[tokio::test]
async fn every_kind_of_log_in_is_answered_and_kept() {
    for offers in [
        vec![r#"Digest realm="r", qop="auth", algorithm=MD5"#],
        vec![r#"Digest realm="r", qop="auth,auth-int", algorithm=SHA-256"#],
        vec![r#"Digest realm="r", opaque="o""#],
        vec![r#"Basic realm="r""#, r#"Digest qop="auth", realm="IP Camera(C2)""#],
        vec![r#"Basic realm="r""#],
        vec![],
    ] {
        let none = usize::from(!offers.is_empty());
        let (server, port) = Server::start(Manners { offers, ..Manners::default() }).await;
        let (http, cx) = client(port, "right");
        for _ in 0..3 {
            let request = HttpRequest::get("/a/b?c=d&e=%20f");
            let reply = http.http(&cx, request).await.unwrap();
            assert_eq!(reply.status, StatusCode::OK);
            assert_eq!(reply.body, "GET /a/b?c=d&e=%20f 0");
        }
        assert_eq!(server.requests(), 3 + none);
        assert_eq!(server.counts.bare.load(Ordering::SeqCst), none);
        assert_eq!(server.counts.connections.load(Ordering::SeqCst), 1, "kept alive");
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_sent_as_asked() {
    let (_server, port) = Server::start(Manners::default()).await;
    let (http, cx) = client(port, "right");
    let request = HttpRequest::new(http::Method::GET, "download", "12345");
    assert_eq!(http.http(&cx, request).await.unwrap().body, "GET /download 5");
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_by_all_requests_together() {
    let (server, port) = Server::start(Manners::default()).await;
    let (http, cx) = client(port, "wrong");
    let calls = (0..10).map(|_| http.http(&cx, HttpRequest::get("/")));
    for result in futures::future::join_all(calls).await {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Unauthenticated);
    }
    let spent = server.requests();
    assert_eq!(server.wrong(), 1);
    assert!(http.http(&cx, HttpRequest::get("/")).await.is_err());
    assert!(http.tcp(&cx, "127.0.0.1", port).await.is_err());
    assert_eq!(server.requests(), spent, "nothing is sent after a refusal");
    http.reset();
    assert!(http.http(&cx, HttpRequest::get("/")).await.is_err());
    assert_eq!(server.wrong(), 2);
}

#[tokio::test]
async fn one_request_logs_in_for_all() {
    let (server, port) = Server::start(Manners::default()).await;
    let (http, cx) = client(port, "right");
    let calls = (0..20).map(|_| http.http(&cx, HttpRequest::get("/")));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(server.counts.bare.load(Ordering::SeqCst), 1);
    assert!(server.counts.most.load(Ordering::SeqCst) <= LIMITS.parallel_requests);
}

#[tokio::test]
async fn an_old_nonce_is_replaced_whether_called_stale_or_not() {
    for says_stale in [true, false] {
        let manners = Manners { nonce_uses: 4, says_stale, ..Manners::default() };
        let (server, port) = Server::start(manners).await;
        let (http, cx) = client(port, "right");
        for _ in 0..5 {
            let calls = (0..4).map(|_| http.http(&cx, HttpRequest::get("/")));
            for result in futures::future::join_all(calls).await {
                assert_eq!(result.unwrap().status, StatusCode::OK, "stale={says_stale}");
            }
        }
        assert_eq!(server.wrong(), 0);
    }
}

#[tokio::test]
async fn a_password_changed_on_the_recorder_does_not_lock_us_out() {
    let (server, port) = Server::start(Manners::default()).await;
    let (http, cx) = client(port, "right");
    http.http(&cx, HttpRequest::get("/")).await.unwrap();
    *server.manners.password.lock() = "changed";
    let calls = (0..20).map(|_| http.http(&cx, HttpRequest::get("/")));
    assert!(futures::future::join_all(calls).await.iter().all(Result::is_err));
    assert!(server.wrong() < LIMITS.logins_before_lockout, "{}", server.wrong());
    assert!(http.logins().is_latched());
}

#[tokio::test]
async fn without_a_user_name_nothing_is_tried() {
    let (server, port) = Server::start(Manners::default()).await;
    let settings = DeviceSettings { username: String::new(), ..settings(port, "") };
    let http = HyperTransports::new(&settings, &LIMITS).unwrap();
    let (_, cx) = client(port, "");
    let e = http.http(&cx, HttpRequest::get("/")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthenticated);
    assert_eq!((server.requests(), server.wrong()), (1, 0));
}

#[tokio::test]
async fn long_answers_are_refused_and_streams_are_not() {
    let (_server, port) = Server::start(Manners::default()).await;
    let (http, cx) = client(port, "right");
    let request = HttpRequest { max_reply_bytes: 3, ..HttpRequest::get("/") };
    let e = http.http(&cx, request.clone()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::LimitExceeded);
    let mut stream = http.http_stream(&cx, request).await.unwrap();
    assert_eq!(stream.body.next().await.unwrap().unwrap(), "GET / 0");
    assert!(stream.body.next().await.is_none());
}

#[tokio::test]
async fn a_deadline_bounds_every_wait() {
    let (server, port) = Server::start(Manners::default()).await;
    let (http, cx) = client(port, "right");
    let near = Cx { deadline: Some(Instant::now() + Duration::from_millis(80)), ..cx.clone() };
    let calls = (0..6).map(|_| http.http(&near, HttpRequest::get("/slow")));
    let results = futures::future::join_all(calls).await;
    let kinds: Vec<_> = results.into_iter().map(|r| r.unwrap_err().kind()).collect();
    // What was sent and not answered is the recorder's silence; what only waited here is not.
    assert!(kinds.contains(&ErrorKind::Timeout) && kinds.contains(&ErrorKind::RateLimited));
    assert!(kinds.iter().all(|k| matches!(k, ErrorKind::Timeout | ErrorKind::RateLimited)));
    // The transport is usable afterwards.
    server.manners.gate.notify_one();
    server.manners.gate.notify_one();
    assert!(http.http(&cx, HttpRequest::get("/")).await.is_ok());
}

#[tokio::test]
async fn dropping_a_stream_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let closed = ::tokio::spawn(async move {
        use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut io, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 1024];
        assert!(io.read(&mut bytes).await.unwrap() > 0);
        io.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await
            .unwrap();
        // The stream goes on for ever, but the client hangs up.
        io.read(&mut bytes).await.unwrap_or(0)
    });
    let (http, cx) = client(port, "right");
    let near = Cx { deadline: Some(Instant::now() + Duration::from_secs(5)), ..cx };
    let mut stream = http.http_stream(&near, HttpRequest::get("/alerts")).await.unwrap();
    assert_eq!(stream.body.next().await.unwrap().unwrap(), "abc");
    assert_eq!(http.connections(), 1);
    drop(stream);
    assert_eq!(closed.await.unwrap(), 0);
}

#[tokio::test]
async fn answers_that_are_not_http_are_malformed() {
    for garbage in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\0\0\0\0"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        ::tokio::spawn(async move {
            use ::tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut io, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 1024];
            assert!(io.read(&mut bytes).await.unwrap() > 0);
            io.write_all(garbage.as_bytes()).await.unwrap();
        });
        let (http, cx) = client(port, "right");
        let e = http.http(&cx, HttpRequest::get("/")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Malformed, "{garbage:?}: {e}");
    }
}

#[tokio::test]
async fn requests_keep_to_the_rate() {
    let (server, port) = Server::start(Manners { offers: vec![], ..Manners::default() }).await;
    let (_, cx) = client(port, "right");
    let limits = DeviceLimits { requests_per_second: 50.0, ..LIMITS };
    let http = HyperTransports::new(&settings(port, "right"), &limits).unwrap();
    let calls = (0..6).map(|_| http.http(&cx, HttpRequest::get("/")));
    let replies: Vec<_> =
        futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let times = server.counts.times.lock();
    let spread = *times.iter().max().unwrap() - *times.iter().min().unwrap();
    assert!(spread >= Duration::from_millis(90), "{spread:?} for six requests at 50 a second");
    // What is said of an exchange leaves the wait for its turn out.
    assert!(replies.iter().all(|r| r.sent <= r.answered));
    let sent = || replies.iter().map(|r| r.sent);
    let spread_us = sent().max().unwrap().since_us(sent().min().unwrap());
    assert!(spread_us >= 90_000, "sent within {spread_us} us");
}

#[tokio::test]
async fn closed_connections_are_replaced_and_counted() {
    let (server, port) = Server::start(Manners { closes: true, ..Manners::default() }).await;
    let (http, cx) = client(port, "right");
    for _ in 0..3 {
        assert!(http.http(&cx, HttpRequest::get("/")).await.is_ok());
    }
    assert_eq!(server.counts.connections.load(Ordering::SeqCst), 4);
    let open = http.tcp(&cx, "127.0.0.1", port).await.unwrap();
    assert!(http.connections() >= 1);
    drop(open);
    let nobody = {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        free.local_addr().unwrap().port()
    };
    let (http, cx) = client(nobody, "right");
    let e = http.http(&cx, HttpRequest::get("/")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unreachable);
}

#[tokio::test]
async fn a_certificate_of_its_own_is_accepted() {
    let made = rcgen::generate_simple_self_signed(["recorder".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    ::tokio::spawn(async move {
        let (io, _) = listener.accept().await.unwrap();
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(io).await.unwrap();
        let service = service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"tls"))))
        });
        http1::Builder::new().serve_connection(TokioIo::new(tls), service).await.ok();
    });
    let mut settings = settings(port, "right");
    settings.url = format!("https://127.0.0.1:{port}").parse().unwrap();
    let http = HyperTransports::new(&settings, &LIMITS).unwrap();
    let (_, cx) = client(port, "right");
    assert_eq!(http.http(&cx, HttpRequest::get("/")).await.unwrap().body, "tls");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let limits = DeviceLimits { requests_per_second: rate, ..LIMITS };
        let e = HyperTransports::new(&settings(1, ""), &limits).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidArgument);
    }
    assert!(!format!("{:?}", client(1, "s3cret").0).contains("s3cret"));
}

/// A device that offers no log-in of HTTP's is left to the vendor: its 401 arrives, nothing is sent
/// to it but what was asked, and nothing latches.
#[::tokio::test]
async fn a_refusal_that_asks_for_nothing_arrives() {
    let (server, port) =
        Server::start(Manners { offers: vec!["Bearer realm=\"r\""], ..Manners::default() }).await;
    let (http, cx) = client(port, "right");
    for n in 1..=3 {
        let reply = http.http(&cx, HttpRequest::get("/")).await.unwrap();
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        assert_eq!(server.counts.requests.load(Ordering::Relaxed), n);
    }
    assert!(!http.logins().is_latched());
}

/// A body behind a length of zero is read where that is asked for, up to the end of the connection;
/// an answer that really is empty ends too.
#[::tokio::test]
async fn a_length_of_zero_may_be_a_lie() {
    use ::tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    ::tokio::spawn(async move {
        loop {
            let (mut io, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let n = io.read(&mut request).await.unwrap();
            io.write_all(b"HTTP/1.1 200 OK\r\nContent-Len").await.unwrap();
            io.write_all(b"gth: 0\r\n\r\n").await.unwrap();
            if request[..n].starts_with(b"GET /file") {
                io.write_all(b"footage").await.unwrap();
            } else {
                // Kept open until the client closes it.
                ::tokio::spawn(async move { io.read(&mut [0]).await });
            }
        }
    });
    let (http, cx) = client(port, "right");
    for (path, trusts, want) in
        [("/file", false, "footage"), ("/file", true, ""), ("/none", false, "")]
    {
        let request = HttpRequest { distrusts_zero: !trusts, ..HttpRequest::get(path) };
        let answer = http.http_stream(&cx, request).await.unwrap();
        let pieces: Vec<_> = answer.body.map(|b| b.unwrap()).collect().await;
        assert_eq!(pieces.concat(), want.as_bytes(), "{path} {trusts}");
    }
}
