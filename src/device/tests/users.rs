//! Accounts that clients make, change and delete.

use parking_lot::Mutex;

use super::*;
use crate::Accounts;

/// Keeps accounts in memory; fails when it is told to.
#[derive(Debug, Default)]
pub(super) struct Kept {
    saved: Mutex<Vec<Arc<User>>>,
    full: Mutex<bool>,
}

impl Accounts for Kept {
    fn save(&self, accounts: &[Arc<User>]) -> dvrgate_model::Result<()> {
        if *self.full.lock() {
            return Err(dvrgate_model::Error::internal("no space"));
        }
        *self.saved.lock() = accounts.to_vec();
        Ok(())
    }
}

pub(super) async fn world() -> (World, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let accounts = Arc::clone(&kept);
    let restart = Some(Arc::default());
    let change = |settings: Settings| Settings { accounts: Some(accounts), restart, ..settings };
    (World::with(Arc::new(MemoryControl::new()), true, change).await, kept)
}

fn user(name: &str, password: Option<&str>, level: &str) -> Element {
    let element = Element::new(ns::TDS, "User").with(Element::of(ns::TT, "Username", name));
    element.with_all(password.map(|p| Element::of(ns::TT, "Password", p))).with(Element::of(
        ns::TT,
        "UserLevel",
        level,
    ))
}

fn list(operation: &'static str, users: impl IntoIterator<Item = Element>) -> Element {
    tds(operation).with_all(users)
}

fn names(operation: &'static str, names: &[&str]) -> Element {
    names.iter().fold(tds(operation), |e, n| e.with_value("Username", *n))
}

async fn known(world: &World) -> Vec<String> {
    let answer = world.get(tds("GetUsers")).await;
    assert!(!answer.to_xml().contains("Password"), "RH5-6");
    answer
        .elements()
        .map(|u| u.elements().map(|e| e.text().into_owned()).collect::<Vec<_>>().join(" "))
        .collect()
}

const FIXED: [&str; 3] = ["admin Administrator", "operator Operator", "user User"];

/// RH5-6, RH5-7, RH5-8, RH5-9, RH3-6
#[tokio::test]
async fn accounts_come_change_and_go_and_are_kept() {
    let (world, kept) = world().await;
    let own = world.get(tds("GetServiceCapabilities")).await;
    let own = own.child(ns::TDS, "Capabilities").unwrap();
    let of = |part, name| own.child(ns::TDS, part).unwrap().attribute(name).map(str::to_owned);
    assert_eq!(of("System", "UserConfigNotSupported").as_deref(), Some("false"));
    assert_eq!(of("Security", "MaxUsers").as_deref(), Some("64"));

    let two = [user("guard", Some("night"), "Operator"), user("wall", Some("screen"), "User")];
    world.get(list("CreateUsers", two)).await;
    assert_eq!(known(&world).await[..3], FIXED);
    assert_eq!(known(&world).await[3..], ["guard Operator", "wall User"]);
    assert_eq!(kept.saved.lock()[0].password.reveal(), "night");
    // Whoever was made can log in, at that level.
    let door = world.host.door().users();
    assert_eq!(door.get("guard").unwrap().level, Level::Operator);

    world.get(list("SetUser", [user("guard", Some("day"), "User")])).await;
    assert_eq!(known(&world).await[3..], ["guard User", "wall User"]);
    assert_eq!(kept.saved.lock()[0].password.reveal(), "day");

    world.get(names("DeleteUsers", &["guard"])).await;
    assert_eq!(known(&world).await[3..], ["wall User"]);
    assert_eq!(kept.saved.lock().len(), 1);
    assert!(door.get("guard").is_none());
}

/// RH5-7, RH5-8, RH5-9: each fault, and nothing of a refused request is done.
#[tokio::test]
async fn what_cannot_be_is_refused_whole() {
    let (world, kept) = world().await;
    world.get(list("CreateUsers", [user("guard", Some("night"), "Operator")])).await;
    let before = known(&world).await;
    let good = || user("other", Some("x"), "User");
    let long = "x".repeat(200);
    let many = (0..62).map(|i| user(&format!("u{i}"), Some("x"), "User"));
    let prohibited = "env:Sender/ter:OperationProhibited";
    let value = "env:Sender/ter:InvalidArgVal";
    for (request, fault) in [
        (list("CreateUsers", []), "env:Sender/ter:InvalidArgs".to_owned()),
        (
            list("CreateUsers", [good(), user("admin", Some("x"), "User")]),
            format!("{prohibited}/ter:UsernameClash"),
        ),
        (list("CreateUsers", [good(), good()]), format!("{prohibited}/ter:UsernameClash")),
        (
            list("CreateUsers", [good(), user("", Some("x"), "User")]),
            format!("{prohibited}/ter:UsernameTooShort"),
        ),
        (
            list("CreateUsers", [user(&long, Some("x"), "User")]),
            format!("{prohibited}/ter:UsernameTooLong"),
        ),
        (
            list("CreateUsers", [user("a", Some(&long.repeat(2)), "User")]),
            format!("{prohibited}/ter:PasswordTooLong"),
        ),
        (
            list("CreateUsers", [good(), user("a", None, "User")]),
            format!("{prohibited}/ter:Password"),
        ),
        (
            list("CreateUsers", [user("a", Some("x"), "Anonymous")]),
            format!("{prohibited}/ter:AnonymousNotAllowed"),
        ),
        (list("CreateUsers", [user("a:b", Some("x"), "User")]), value.to_owned()),
        (
            list("CreateUsers", [user("a", Some("x"), "Emperor")]),
            "env:Sender/ter:InvalidArgs".to_owned(),
        ),
        (list("CreateUsers", many), "env:Receiver/ter:Action/ter:TooManyUsers".to_owned()),
        (names("DeleteUsers", &["guard", "nobody"]), format!("{value}/ter:UsernameMissing")),
        (names("DeleteUsers", &["guard", "guard"]), format!("{value}/ter:UsernameMissing")),
        (names("DeleteUsers", &["guard", "admin"]), format!("{value}/ter:FixedUser")),
        (names("DeleteUsers", &[]), "env:Sender/ter:InvalidArgs".to_owned()),
        (
            list("SetUser", [user("guard", Some("y"), "User"), user("nobody", Some("y"), "User")]),
            format!("{value}/ter:UsernameMissing"),
        ),
        (
            list("SetUser", [user("admin", Some("y"), "Administrator")]),
            format!("{value}/ter:FixedUser"),
        ),
        (
            list("SetUser", [user("guard", None, "User")]),
            format!("{prohibited}/ter:PasswordTooWeak"),
        ),
        (
            list("SetUser", [user("guard", Some("y"), "Anonymous")]),
            format!("{prohibited}/ter:AnonymousNotAllowed"),
        ),
        (
            list("SetUser", [user("guard", Some("y"), "User"), user("guard", Some("z"), "User")]),
            value.to_owned(),
        ),
    ] {
        assert_eq!(world.fault(request.clone()).await, fault, "{request:?}");
        assert_eq!(known(&world).await, before);
    }
    // A disk that is full is no reason to let in whom a restart would not know.
    *kept.full.lock() = true;
    assert_eq!(world.fault(list("CreateUsers", [good()])).await, "env:Receiver/ter:Action");
    assert_eq!(known(&world).await, before);
}
