//! Which POST belongs to which GET: the tunnels of a server by address and cookie.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use ::tokio::sync::{Mutex as Turn, mpsc, watch};
use bytes::Bytes;
use parking_lot::Mutex;

use super::opening::{Cookie, HttpStatus};

/// The tunnels of a server.
///
/// A cookie counts together with the client's address: nobody else can put requests into a tunnel by
/// guessing or overhearing it. Either half may come first.
#[derive(Debug, Default)]
pub struct Pairs {
    open: Mutex<HashMap<Key, Entry>>,
}

type Key = (IpAddr, Cookie);
/// What the client sends; an error when it can no longer be understood.
type Input = io::Result<Bytes>;

#[derive(Debug)]
struct Entry {
    input: mpsc::Sender<Input>,
    /// Until the GET takes it.
    receiver: Option<mpsc::Receiver<Input>>,
    paired: watch::Sender<bool>,
    newest: watch::Sender<u64>,
    turn: Arc<Turn<()>>,
    /// POSTs that are open.
    posts: usize,
}

/// The half from server to client. The tunnel ends when it is dropped.
#[derive(Debug)]
pub struct Down {
    /// What the client sends in the other half.
    pub input: mpsc::Receiver<Input>,
    _member: Member,
}

/// A half from client to server: one of those that follow one another in a tunnel.
#[derive(Debug)]
pub struct Up {
    /// To the other half. Closed when that is gone.
    pub input: mpsc::Sender<Input>,
    /// Whether the other half has come.
    pub paired: watch::Receiver<bool>,
    /// Number of the newest POST.
    pub newest: watch::Receiver<u64>,
    /// Held while this POST is the one that is read.
    pub turn: Arc<Turn<()>>,
    _member: Member,
}

#[derive(Debug)]
struct Member {
    pairs: Arc<Pairs>,
    key: Key,
    down: bool,
}

/// Tunnels in all.
const MAX_TUNNELS: usize = 1024;
/// Tunnels from one address: a wall of cameras.
const MAX_TUNNELS_PER_ADDRESS: usize = 128;
/// POSTs of one tunnel: the one that is read, and the next.
const MAX_POSTS: usize = 2;
/// Pieces on the way from POST to GET, each of at most one read.
const PIECES: usize = 4;

impl Pairs {
    /// The GET of that cookie.
    pub fn down(self: &Arc<Self>, from: IpAddr, cookie: Cookie) -> Result<Down, HttpStatus> {
        let key = (from.to_canonical(), cookie);
        let input = {
            let mut open = self.open.lock();
            let entry = entry(&mut open, &key)?;
            // A second GET must not take over what the first one plays.
            let input = entry.receiver.take().ok_or(HttpStatus::CONFLICT)?;
            entry.paired.send_replace(true);
            input
        };
        Ok(Down { input, _member: Member { pairs: Arc::clone(self), key, down: true } })
    }

    /// A POST of that cookie.
    pub fn up(self: &Arc<Self>, from: IpAddr, cookie: Cookie) -> Result<Up, HttpStatus> {
        let key = (from.to_canonical(), cookie);
        let (input, paired, newest, turn) = {
            let mut open = self.open.lock();
            let entry = entry(&mut open, &key)?;
            if entry.posts == MAX_POSTS {
                return Err(HttpStatus::UNAVAILABLE);
            }
            entry.posts += 1;
            entry.newest.send_modify(|n| *n += 1);
            (
                entry.input.clone(),
                entry.paired.subscribe(),
                entry.newest.subscribe(),
                Arc::clone(&entry.turn),
            )
        };
        let member = Member { pairs: Arc::clone(self), key, down: false };
        Ok(Up { input, paired, newest, turn, _member: member })
    }

    /// Tunnels and halves of tunnels that are open.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.open.lock().len()
    }
}

fn entry<'a>(open: &'a mut HashMap<Key, Entry>, key: &Key) -> Result<&'a mut Entry, HttpStatus> {
    if !open.contains_key(key) {
        let here = open.keys().filter(|(from, _)| *from == key.0).count();
        if open.len() >= MAX_TUNNELS || here >= MAX_TUNNELS_PER_ADDRESS {
            tracing::warn!(from = %key.0, "too many tunnels");
            return Err(HttpStatus::UNAVAILABLE);
        }
    }
    Ok(open.entry(key.clone()).or_insert_with(|| {
        let (input, receiver) = mpsc::channel(PIECES);
        Entry {
            input,
            receiver: Some(receiver),
            paired: watch::Sender::new(false),
            newest: watch::Sender::new(0),
            turn: Arc::default(),
            posts: 0,
        }
    }))
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut open = self.pairs.open.lock();
        if self.down {
            open.remove(&self.key);
            return;
        }
        let Some(entry) = open.get_mut(&self.key) else { return };
        entry.posts = entry.posts.saturating_sub(1);
        if entry.posts == 0 && entry.receiver.is_some() {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn cookie(text: &str) -> Cookie {
        Cookie::new(text).unwrap()
    }

    /// R8.T-4: one cookie, either half first.
    #[test]
    fn halves_meet_in_either_order() {
        let pairs = Arc::new(Pairs::default());
        for get_first in [true, false] {
            let mut down = None;
            if get_first {
                down = Some(pairs.down(from(1), cookie("a")).unwrap());
            }
            let up = pairs.up(from(1), cookie("a")).unwrap();
            assert_eq!(*up.paired.borrow(), get_first);
            let mut down = down.unwrap_or_else(|| pairs.down(from(1), cookie("a")).unwrap());
            assert!(*up.paired.borrow());
            up.input.try_send(Ok(Bytes::from_static(b"x"))).unwrap();
            assert_eq!(down.input.try_recv().unwrap().unwrap(), "x");
            drop(down);
            assert!(up.input.is_closed());
            drop(up);
            assert_eq!(pairs.count(), 0);
        }
    }

    #[test]
    fn a_cookie_belongs_to_one_get_and_one_address() {
        let pairs = Arc::new(Pairs::default());
        let down = pairs.down(from(1), cookie("a")).unwrap();
        assert_eq!(pairs.down(from(1), cookie("a")).unwrap_err(), HttpStatus::CONFLICT);
        // The refused one has not closed the first.
        let stranger = pairs.up(from(2), cookie("a")).unwrap();
        assert!(!*stranger.paired.borrow());
        drop(stranger);
        assert!(*pairs.up(from(1), cookie("a")).unwrap().paired.borrow());
        drop(down);
        assert_eq!(pairs.count(), 0);
    }

    #[test]
    fn posts_follow_one_another() {
        let pairs = Arc::new(Pairs::default());
        let _down = pairs.down(from(1), cookie("a")).unwrap();
        for _ in 0..10 {
            let first = pairs.up(from(1), cookie("a")).unwrap();
            let n = *first.newest.borrow();
            let second = pairs.up(from(1), cookie("a")).unwrap();
            assert_eq!(*first.newest.borrow(), n + 1);
            assert_eq!(
                pairs.up(from(1), cookie("a")).unwrap_err(),
                HttpStatus::UNAVAILABLE,
                "a third"
            );
            drop((first, second));
        }
        assert_eq!(pairs.count(), 1);
    }

    #[test]
    fn the_table_is_bounded_in_all_and_per_address() {
        let pairs = Arc::new(Pairs::default());
        let mut kept = Vec::new();
        for i in 0..MAX_TUNNELS_PER_ADDRESS {
            kept.push(pairs.up(from(1), cookie(&i.to_string())).unwrap());
        }
        assert_eq!(pairs.up(from(1), cookie("more")).unwrap_err(), HttpStatus::UNAVAILABLE);
        for i in MAX_TUNNELS_PER_ADDRESS..MAX_TUNNELS {
            let who = from(2 + (i / MAX_TUNNELS_PER_ADDRESS) as u8);
            kept.push(pairs.up(who, cookie(&i.to_string())).unwrap());
        }
        assert_eq!(pairs.up(from(200), cookie("more")).unwrap_err(), HttpStatus::UNAVAILABLE);
        drop(kept);
        assert_eq!(pairs.count(), 0);
    }
}
