//! The checks of a server after a cut, by the ledger of its clients.

mod pieces;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use stowage::wire::TrashEntry;

use crate::dice::Dice;
use crate::exchange::{Answer, exchange};
use crate::ledger::{Key, Ledger, Place, Register, Token, Upload, Value};
use crate::support::content::sha256;
use crate::workload::all_repositories;
use crate::{tokens, trash};

/// Of the keys that no request has touched since the last check, one in this many is checked.
const OLD: u64 = 16;
/// The same for blobs that the server may take away by itself.
const LOOSE: u64 = 4;

/// The server, and the problems found.
struct Oracle<'a> {
    address: SocketAddr,
    /// The admin socket.
    socket: &'a Path,
    /// The tokens that it lists.
    tokens: BTreeMap<String, u64>,
    /// What is in the trash.
    trash: Vec<TrashEntry>,
    /// Pieces in the trash, and whether they may have been emptied in part.
    trashed: Vec<(String, bool)>,
    wrong: Vec<String>,
    dice: &'a mut Dice,
}

/// Compares the server with the ledger, and sets the ledger to what was found. With `since`, everything that
/// a request has touched after that moment is checked, and some of the rest. Returns the problems.
pub(crate) fn judge(
    (address, socket): (SocketAddr, &Path),
    ledger: &mut Ledger,
    since: u64,
    dice: &mut Dice,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let tokens = tokens::listed(socket).unwrap_or_else(|error| {
        wrong.push(error);
        BTreeMap::new()
    });
    let mut oracle = Oracle { address, socket, tokens, trash: Vec::new(), trashed: Vec::new(), wrong, dice };
    // No run of garbage collection works before an admin starts one.
    ledger.emptying = false;
    oracle.trash = oracle.listed().unwrap_or_default();
    let registers: Vec<(Place, Register)> =
        ledger.registers.iter().map(|(place, register)| (place.clone(), register.clone())).collect();
    for (place, register) in registers {
        if register.touched <= since && oracle.may_skip(&place.1, &register) {
            continue;
        }
        let found = oracle.find(ledger, &place, &register);
        let possible = register.possible();
        if !possible.contains(&found) {
            let (repository, key) = &place;
            oracle.wrong.push(format!("{repository} {key:?}: {found:?}, not one of {possible:?}"));
        }
        ledger.settle(&place, found);
    }
    let uploads: Vec<(String, Upload)> =
        ledger.uploads.iter().map(|(location, upload)| (location.clone(), upload.clone())).collect();
    for (location, upload) in uploads {
        match oracle.standing(&location, &upload) {
            None => drop(ledger.uploads.remove(&location)),
            Some(offset) => {
                let found = Upload { acknowledged: offset, sent: offset, closing: false, ..upload };
                ledger.uploads.insert(location, found);
            }
        }
    }
    oracle.restore(ledger);
    oracle.all_tokens(ledger);
    for repository in all_repositories() {
        oracle.tags(ledger, &repository);
        oracle.referrers(ledger, &repository, since);
    }
    oracle.wrong
}

impl Oracle<'_> {
    /// What the server lists in the trash.
    fn listed(&mut self) -> Option<Vec<TrashEntry>> {
        let socket = self.socket;
        trash::listed(None, |path| match tokens::ask(socket, "GET", path, "") {
            Ok(answer) if answer.status == 200 => Some(answer),
            other => {
                self.wrong.push(format!("GET {path}: {other:?}"));
                None
            }
        })
    }

    /// Whether a key need not be looked at that no request has touched.
    fn may_skip(&mut self, key: &Key, register: &Register) -> bool {
        match key {
            Key::Blob(_) if register.loose => self.dice.below(LOOSE) > 0,
            _ => !register.loose && self.dice.below(OLD) > 0,
        }
    }

    fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        match exchange(self.address, "GET", path, headers, b"") {
            Ok(answer) if matches!(answer.status, 200 | 204 | 206 | 404) => Some(answer),
            other => {
                self.wrong.push(format!("GET {path}: {other:?}"));
                None
            }
        }
    }

    /// The value of a key on the server, after its content was read completely.
    fn find(&mut self, ledger: &Ledger, (repository, key): &Place, register: &Register) -> Value {
        match key {
            Key::Blob(digest) => self.blob(ledger, repository, digest),
            Key::Manifest(digest) => self.manifest(ledger, repository, digest),
            Key::Tag(tag) => self.manifest(ledger, repository, tag),
            Key::Token(name) => self.token(ledger, name),
            Key::Piece(tag) => self.piece(ledger, tag, register),
        }
    }

    /// A token that is listed must sign its owner in, and no other may.
    fn token(&mut self, ledger: &Ledger, name: &str) -> Value {
        let is_listed = self.tokens.contains_key(name);
        if let Some(Token { secret: Some(secret), .. }) = ledger.tokens.get(name) {
            match tokens::opens(self.address, secret) {
                Ok(opens) if opens == is_listed => {}
                Ok(opens) => self.wrong.push(format!("the token {name}: listed {is_listed}, opens {opens}")),
                Err(error) => self.wrong.push(error),
            }
        }
        is_listed.then(|| name.to_owned())
    }

    /// Compares the list of tokens with the ledger. Tokens whose response was lost get their numbers from the
    /// list.
    fn all_tokens(&mut self, ledger: &mut Ledger) {
        let places = all_repositories();
        let expected: BTreeSet<String> = places.iter().flat_map(|place| ledger.tokens_in(place)).collect();
        let found: BTreeSet<String> = self.tokens.keys().cloned().collect();
        if found != expected {
            self.wrong.push(format!("the tokens {found:?} are listed, not {expected:?}"));
        }
        for (name, id) in &self.tokens {
            let token = ledger.tokens.entry(name.clone()).or_insert(Token { id: *id, secret: None });
            if token.id != *id {
                self.wrong.push(format!("the token {name} has the number {id}: {token:?}"));
            }
        }
    }

    fn blob(&mut self, ledger: &Ledger, repository: &str, digest: &str) -> Value {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let pulled = self.get(&path, &[]).filter(|answer| answer.status == 200)?;
        let content = ledger.blobs.get(digest).map(|recipe| recipe.content()).unwrap_or_default();
        if pulled.body != content {
            self.wrong.push(format!("{path} has other bytes"));
        }
        let (start, end) = (content.len() / 3, content.len() / 2);
        let part = self.get(&path, &[("Range", &format!("bytes={start}-{end}"))])?;
        if part.status != 206 || Some(part.body.as_slice()) != content.get(start..=end) {
            self.wrong.push(format!("{path} has other bytes from {start} to {end}: {}", part.status));
        }
        Some(digest.to_owned())
    }

    fn manifest(&mut self, ledger: &Ledger, repository: &str, reference: &str) -> Value {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let pulled = self.get(&path, &[]).filter(|answer| answer.status == 200)?;
        let digest = pulled.header("docker-content-digest").unwrap_or_default().to_owned();
        let known = ledger.manifests.get(&digest);
        if sha256(&pulled.body) != digest || known.is_none_or(|known| known.content != pulled.body) {
            self.wrong.push(format!("{path} has other bytes than {digest}"));
        }
        if let Some(known) = known
            && pulled.header("content-type") != Some(known.media_type)
        {
            self.wrong.push(format!("{path} has another type: {}", pulled.head));
        }
        Some(digest)
    }

    /// The offset of an upload, if it still exists.
    fn standing(&mut self, location: &str, upload: &Upload) -> Option<usize> {
        let answer = self.get(location, &[])?;
        let offset = (answer.status == 204).then(|| {
            let last = answer.header("range").and_then(|range| range.strip_prefix("0-"));
            let last = last.and_then(|last| last.parse::<usize>().ok()).unwrap_or(0);
            last + usize::from(last > 0)
        });
        // Until its first chunk is acknowledged, an upload is only in memory.
        let expected = match offset {
            Some(offset) => (upload.acknowledged..=upload.sent).contains(&offset),
            None => upload.acknowledged == 0 || upload.closing,
        };
        if !expected {
            self.wrong.push(format!("{location} stands at {offset:?}: {upload:?}"));
        }
        offset
    }

    /// Compares the list of tags with the ledger.
    fn tags(&mut self, ledger: &Ledger, repository: &str) {
        let expected: BTreeSet<String> = ledger
            .of(repository)
            .filter(|(_, register)| register.certain().flatten().is_some())
            .filter_map(|(key, _)| if let Key::Tag(tag) = key { Some(tag.clone()) } else { None })
            .collect();
        let found =
            self.list(&format!("/v2/{repository}/tags/list?n=10000"), "tags", serde_json::Value::as_str);
        if found != expected {
            self.wrong.push(format!("{repository} lists the tags {found:?}, not {expected:?}"));
        }
    }

    /// Compares the lists of referrers with the ledger.
    fn referrers(&mut self, ledger: &Ledger, repository: &str, since: u64) {
        let mut subjects = BTreeSet::new();
        for (key, register) in ledger.of(repository) {
            if let Key::Manifest(digest) = key
                && let Some(subject) = ledger.manifests.get(digest).and_then(|found| found.subject.as_ref())
                && (register.touched > since || self.dice.below(OLD) == 0)
            {
                subjects.insert(subject);
            }
        }
        for subject in subjects {
            let present = ledger.seen_in(repository).into_iter();
            let expected: BTreeSet<String> =
                present.filter(|digest| ledger.manifests[digest].subject.as_ref() == Some(subject)).collect();
            let path = format!("/v2/{repository}/referrers/{subject}");
            let found = self.list(&path, "manifests", |descriptor| descriptor["digest"].as_str());
            if found != expected {
                self.wrong.push(format!("{path} lists {found:?}, not {expected:?}"));
            }
        }
    }

    /// The texts in a list of a response; a response that the thing does not exist is an empty list.
    fn list(
        &mut self,
        path: &str,
        name: &str,
        text: impl Fn(&serde_json::Value) -> Option<&str>,
    ) -> BTreeSet<String> {
        let Some(answer) = self.get(path, &[]).filter(|answer| answer.status == 200) else {
            return BTreeSet::new();
        };
        let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let items = list[name].as_array().into_iter().flatten();
        items.filter_map(|item| text(item).map(str::to_owned)).collect()
    }
}
