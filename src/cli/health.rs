//! `health`: asks the gateway on this machine whether it serves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::output::say;
use super::{CliError, ConfigArg};

/// A gateway that takes longer is not well; the image's health check waits a little longer.
const PATIENCE: Duration = Duration::from_secs(4);
/// The status line and the headers before the text fit in this.
const REPLY_BYTES: u64 = 4096;

/// Asks `/readyz` at the address of the configuration.
pub async fn run(args: &ConfigArg) -> Result<(), CliError> {
    let configured = args.load_offline()?.gateway.http;
    if configured.port() == 0 {
        return Err(CliError::usage("gateway.http has port 0, so nobody knows which one it took"));
    }
    let address = here(configured);
    let answer = tokio::time::timeout(PATIENCE, ask(address)).await;
    let said = answer
        .map_err(|_| CliError::failed(format!("http://{address} does not answer in time")))?
        .map_err(|e| CliError::failed(format!("no gateway at http://{address}: {e}")))?;
    match status(&said) {
        Some(200) => {
            say("ready");
            Ok(())
        }
        Some(503) => Err(CliError::failed("the gateway is starting")),
        _ => Err(CliError::failed(format!("what answers at http://{address} is no gateway"))),
    }
}

/// Where a listener of this machine is reached from this machine.
fn here(configured: SocketAddr) -> SocketAddr {
    let ip = match configured.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, configured.port())
}

async fn ask(address: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut said = Vec::new();
    stream.take(REPLY_BYTES).read_to_end(&mut said).await?;
    Ok(said)
}

/// The status of an HTTP reply.
fn status(reply: &[u8]) -> Option<u16> {
    let line = reply.split(|b| *b == b'\r').next()?;
    let rest = std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?;
    rest.split(' ').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves one connection with `reply` and runs `health` against it.
    async fn health(reply: &'static str) -> Result<(), CliError> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let n = stream.read(&mut asked).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..n]).into_owned()
        });
        let dir = tempfile::tempdir().unwrap();
        // Every interface: asked on loopback. The password is not needed and not there.
        let result = run(&written(dir.path(), port)).await;
        assert!(serving.await.unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
        result
    }

    fn written(dir: &std::path::Path, port: u16) -> ConfigArg {
        let config = dir.join("dvrgate.toml");
        let text = format!(
            "[gateway]\ndata_dir = \"data\"\nhttp = \"0.0.0.0:{port}\"\n\
             [[user]]\nname = \"a\"\nlevel = \"user\"\npassword = {{ file = \"/nowhere\" }}\n"
        );
        std::fs::write(&config, text).unwrap();
        ConfigArg { config }
    }

    #[tokio::test]
    async fn only_a_gateway_that_serves_is_well() {
        health("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nready\n").await.unwrap();
        for (reply, why) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\nstarting\n", "is starting"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "no gateway"),
            ("RTSP/1.0 200 OK\r\n\r\n", "no gateway"),
            ("", "no gateway"),
        ] {
            let said = health(reply).await.unwrap_err().message;
            assert!(said.contains(why), "{reply:?}: {said}");
        }
    }

    #[tokio::test]
    async fn nobody_there_and_no_known_port_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = run(&written(dir.path(), free.port())).await.unwrap_err();
        assert_eq!(error.code, 1);
        assert!(error.message.starts_with(&format!("no gateway at http://{free}")));
        assert_eq!(run(&written(dir.path(), 0)).await.unwrap_err().code, 2);
    }

    #[test]
    fn unspecified_addresses_are_asked_on_loopback() {
        for (configured, asked) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(here(configured.parse().unwrap()).to_string(), asked);
        }
    }
}
