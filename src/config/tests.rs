use super::*;

const GOOD: &str = r#"
[gateway]
name = "Depot North"
data_dir = "data"
advertise = "192.0.2.10"

[[user]]
name = "admin"
level = "administrator"
password = "secret"

[[device]]
id = "yard"
vendor = "hikvision"
url = "http://192.0.2.64"
username = "viewer"
password = "x"
time_zone = "Europe/Bratislava"
[device.limits]
playback_sessions = 2
requests_per_second = 5

[footage]
budget = "50GiB"
"#;

fn parse(text: &str) -> Result<Config, String> {
    let vendors = ["hikvision", "folder"].map(str::to_owned);
    Config::parse(text, "c.toml", Path::new("/base"), &vendors, Secrets::Needed)
        .map_err(|e| e.to_string())
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let c = parse(GOOD).unwrap();
    assert_eq!(c.gateway.data_dir, Path::new("/base/data"));
    assert_eq!(c.gateway.http.port(), 8080);
    assert_eq!(c.footage.budget.as_u64(), 50 << 30);
    assert_eq!(c.devices[0].limits.playback_sessions, Some(2));
    assert_eq!(c.warnings.len(), 2, "literal passwords are warned of: {:?}", c.warnings);
    assert!(!format!("{c:?}").contains("secret"), "passwords are not printed");
}

#[test]
fn ports_over_tls_are_opened_only_where_they_are_named() {
    let c = parse(GOOD).unwrap();
    assert!(c.gateway.https.is_none() && c.gateway.rtsps.is_none() && c.tls.is_none());
    let own = format!("{GOOD}\n[tls]\ncertificate = \"own/c.pem\"\nkey = \"/own/k.pem\"\n");
    let c = parse(&own).unwrap();
    assert!(c.warnings.iter().any(|w| w.contains("[tls]")), "{:?}", c.warnings);
    let c = parse(&own.replacen("[gateway]", "[gateway]\nrtsps = \"[::]:8322\"", 1)).unwrap();
    assert_eq!(c.gateway.rtsps.map(|a| a.port()), Some(8322));
    let tls = c.tls.unwrap();
    assert_eq!(tls.certificate, Path::new("/base/own/c.pem"));
    assert_eq!(tls.key, Path::new("/own/k.pem"));
    assert!(!c.warnings.iter().any(|w| w.contains("[tls]")));
}

#[test]
fn mistakes_name_line_and_remedy() {
    for (from, to, line, words) in [
        ("name = \"Depot North\"", "nam = 1", 3, "unknown field `nam`"),
        ("level = \"administrator\"", "level = \"root\"", 9, "administrator"),
        ("id = \"yard\"", "id = \"the yard\"", 13, "letters, digits or underscores"),
        ("\"hikvision\"", "\"hikvison\"", 14, "known are: hikvision, folder"),
        ("http://192.0.2.64", "192.0.2.64", 15, "http://192.0.2.64"),
        ("http://192.0.2.64", "http://u:p@192.0.2.64", 15, "use username and password"),
        ("http://192.0.2.64", "ftp://192.0.2.64", 15, "use http://"),
        ("password = \"x\"", "password = { env = \"NOT_SET_ANYWHERE\" }", 17, "NOT_SET_ANYWHERE"),
        ("password = \"x\"", "password = { file = \"nowhere\" }", 17, "/base/nowhere"),
        ("Europe/Bratislava", "Europe/Bratislave", 18, "IANA name"),
        ("playback_sessions = 2", "playback_sessions = 0", 19, "use 1 or more"),
        ("\"50GiB\"", "\"fifty\"", 24, "for instance \"50GiB\""),
        (
            "advertise = \"192.0.2.10\"",
            "http = \"localhost:8080\"",
            5,
            "for instance \"0.0.0.0:8080\"",
        ),
        (
            "advertise = \"192.0.2.10\"",
            "http = \"[::]:8554\"",
            5,
            "rtsp and http have the same port",
        ),
        ("\"192.0.2.10\"", "\"http://nvr.example/\"", 5, "write a host"),
        ("\"192.0.2.10\"", "\"a b\"", 5, "write a host"),
        ("advertise = ", "multicast = ", 5, "for instance 239.255.64.0/24"),
        ("name = \"admin\"", "name = \"\"", 8, "a user needs a name"),
        ("name = \"admin\"", "name = \"a:b\"", 8, "a user needs a name"),
        ("password = \"secret\"", "password = \"\"", 10, "is empty"),
        ("[[device]]", "[device]", 12, "[[device]]"),
        ("data_dir = \"data\"", "", 2, "name a folder"),
        ("[footage]", "[index]\nmemory_limit = \"1MiB\"\n[footage]", 24, "or more"),
        ("[footage]", "[sync]\n\ninterval = \"0s\"\n[footage]", 25, "use 1s or more"),
        ("[footage]", "[sync]\ninterval = 30\n[footage]", 24, "for instance \"30s\""),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let error = parse(&text).unwrap_err();
        assert!(error.starts_with(&format!("c.toml:{line}: ")), "{to}: {error}");
        assert!(error.contains(words), "{to}: {error}");
    }
    let twice = format!("{GOOD}\n[[device]]\nid=\"yard\"\nvendor=\"folder\"\nurl=\"file:///x\"\n");
    assert!(parse(&twice).unwrap_err().contains("is there twice"));
}

#[test]
fn what_works_badly_is_warned_of() {
    let warned = |from: &str, to: &str, words: &str| {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD);
        let c = parse(&text).unwrap();
        assert!(c.warnings.iter().any(|w| w.contains(words)), "{:?}", c.warnings);
    };
    warned("administrator", "operator", "no user is an administrator");
    warned("\"50GiB\"", "\"1MiB\"", "c.toml:24: a budget of 1.0 MiB");
    for good in ["nvr.example", "nvr.example:8080", "[2001:db8::1]", "[2001:db8::1]:80"] {
        parse(&GOOD.replacen("192.0.2.10", good, 1)).unwrap();
    }
    // Two free ports are two ports.
    parse(&GOOD.replacen("name", "http = \"127.0.0.1:0\"\nrtsp = \"127.0.0.1:0\"\nname", 1))
        .unwrap();
}
