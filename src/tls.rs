//! The gateway's certificate: the operator's own, or one made at the first start.

use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use dvrgate_model::{Error, ErrorKind, Fault, Result};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Config;

/// Folder in the data folder.
const FOLDER: &str = "tls";
/// Certificate, then what signed it.
const CERTIFICATE: &str = "certificate.pem";
/// Its private key, for the owner's eyes only.
const KEY: &str = "key.pem";
/// What a self-made certificate is good for. Nobody renews those, and clients pin them.
const FIRST_YEAR: i32 = 2020;
const LAST_YEAR: i32 = 2120;
/// A certificate with its chain is a few kilobytes.
const MAX_PEM_BYTES: u64 = 256 * 1024;

/// What the listeners for HTTPS and RTSPS need.
pub fn server_config(config: &Config) -> Result<Arc<ServerConfig>> {
    let (certificate, key) = match &config.tls {
        Some(own) => (own.certificate.clone(), own.key.clone()),
        None => {
            let folder = config.gateway.data_dir.join(FOLDER);
            let files = (folder.join(CERTIFICATE), folder.join(KEY));
            let missing = !files.0.exists() && !files.1.exists();
            if missing {
                make(&folder, &names(config)).map_err(|e| {
                    let text = format!("cannot make a certificate in {}", folder.display());
                    Error::new(ErrorKind::Internal, text).because(e)
                })?;
                tracing::info!(file = %files.0.display(), "made a certificate");
            }
            files
        }
    };
    let chain = CertificateDer::pem_slice_iter(&read(&certificate)?)
        .collect::<std::result::Result<Vec<_>, _>>()
        .map_err(|e| unusable(&certificate, "holds no certificate in PEM", e))?;
    if chain.is_empty() {
        let e = io::Error::from(io::ErrorKind::UnexpectedEof);
        return Err(unusable(&certificate, "holds no certificate in PEM", e));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(&key)?)
        .map_err(|e| unusable(&key, "holds no private key in PEM", e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal("no TLS version is supported").because(e))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|e| unusable(&key, "does not belong to the certificate", e))?;
    Ok(Arc::new(server))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let size = fs::metadata(path).map_err(|e| unusable(path, "cannot be read", e))?.len();
    if size > MAX_PEM_BYTES {
        let e = io::Error::from(io::ErrorKind::FileTooLarge);
        return Err(unusable(path, "is no PEM file", e));
    }
    fs::read(path).map_err(|e| unusable(path, "cannot be read", e))
}

fn unusable(path: &Path, why: &str, e: impl std::error::Error + Send + Sync + 'static) -> Error {
    let text = format!(
        "{} {why}; tls.certificate and tls.key name a certificate of your own, without them one is \
         made in the data folder",
        path.display()
    );
    Error::new(ErrorKind::InvalidArgument, text).with_fault(Fault::Gateway).because(e)
}

/// What clients may call this gateway, as far as it is known here.
fn names(config: &Config) -> Vec<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let advertise = config.gateway.advertise.clone().unwrap_or_default();
    let advertised = match advertise.parse::<IpAddr>() {
        Ok(_) => advertise.as_str(),
        // With a port, or a name.
        Err(_) => advertise.rsplit_once(':').map_or(&*advertise, |(host, _)| host),
    };
    let known = [host.trim(), advertised.trim_matches(['[', ']']), "localhost"];
    known.into_iter().filter(|n| !n.is_empty()).map(str::to_owned).collect()
}

/// Makes both files. The key is written first: a certificate is never there without it.
fn make(folder: &Path, names: &[String]) -> io::Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "dvrgate");
    params.not_before = rcgen::date_time_ymd(FIRST_YEAR, 1, 1);
    params.not_after = rcgen::date_time_ymd(LAST_YEAR, 1, 1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    params.subject_alt_names = loopback.map(SanType::IpAddress).into();
    for name in names {
        params.subject_alt_names.push(match name.parse() {
            Ok(ip) => SanType::IpAddress(ip),
            Err(_) => match name.clone().try_into() {
                Ok(dns) => SanType::DnsName(dns),
                Err(_) => continue,
            },
        });
    }
    let key = KeyPair::generate().map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    write_private(&folder.join(KEY), &key.serialize_pem())?;
    write_private(&folder.join(CERTIFICATE), &certificate.pem())
}

/// Whole or not at all, and readable by nobody else.
pub fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension("part");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::Secrets;

    fn config(folder: &Path, more: &str) -> Config {
        let text = format!(
            "[gateway]\ndata_dir = \"data\"\nadvertise = \"192.0.2.10:8443\"\n{more}\n\
             [[user]]\nname = \"a\"\nlevel = \"user\"\npassword = \"b\"\n"
        );
        Config::parse(&text, "t.toml", folder, &[], Secrets::Needed).unwrap()
    }

    #[test]
    fn a_certificate_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        server_config(&config(dir.path(), "")).unwrap();
        let folder = dir.path().join("data/tls");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(KEY)), 0o600);
        assert_eq!(mode(&folder.join(CERTIFICATE)), 0o600);
        let before = fs::read(folder.join(CERTIFICATE)).unwrap();
        server_config(&config(dir.path(), "")).unwrap();
        assert_eq!(fs::read(folder.join(CERTIFICATE)).unwrap(), before);
    }

    #[test]
    fn an_own_certificate_is_used_and_mistakes_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one", "two"] {
            make(&dir.path().join(name), &[]).unwrap();
        }
        let own = |c: &str, k: &str| {
            let text = format!("[tls]\ncertificate = \"{c}\"\nkey = \"{k}\"\n");
            server_config(&config(dir.path(), &text)).map_err(|e| e.to_string())
        };
        own("one/certificate.pem", "one/key.pem").unwrap();
        assert!(!dir.path().join("data/tls").exists(), "nothing is made");
        fs::write(dir.path().join("empty"), "").unwrap();
        for (c, k, why) in [
            ("one/certificate.pem", "two/key.pem", "does not belong"),
            ("one/key.pem", "one/key.pem", "no certificate"),
            ("one/certificate.pem", "one/certificate.pem", "no private key"),
            ("empty", "one/key.pem", "no certificate"),
            ("none", "one/key.pem", "cannot be read"),
        ] {
            let said = own(c, k).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn half_of_a_pair_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        server_config(&config(dir.path(), "")).unwrap();
        fs::remove_file(dir.path().join("data/tls").join(KEY)).unwrap();
        let said = server_config(&config(dir.path(), "")).unwrap_err().to_string();
        assert!(said.contains("cannot be read"), "{said}");
    }
}
