//! Tokens that are created and revoked.

use super::Client;
use crate::ledger::{Key, Token};
use crate::tokens;

/// Above this number one is always revoked, because one response must be able to list those of all clients.
const MANY: usize = 50;

impl Client<'_> {
    /// Creates a token, or revokes one.
    pub(super) fn change_token(&mut self) -> Option<()> {
        let known = self.ledger().tokens_in(&self.repository);
        match self.pick(&known).filter(|_| self.dice.below(2) == 0 || known.len() > MANY) {
            Some(name) => self.revoke_token(&name),
            None => self.make_token(),
        }
    }

    fn make_token(&mut self) -> Option<()> {
        let name = format!("{:016x}", self.dice.below(u64::MAX));
        let change = (Key::Token(name.clone()), Some(name.clone()));
        let body = tokens::wanted(&name);
        let answer = self.booked(&self.repository, vec![change], || {
            let answer = tokens::ask(self.load.socket, "POST", "/api/v1/tokens", &body);
            self.sorted("POST /api/v1/tokens", answer, &[201])
        })?;
        let (id, secret) = tokens::made(&answer);
        self.ledger().tokens.insert(name, Token { id, secret });
        Some(())
    }

    fn revoke_token(&self, name: &str) -> Option<()> {
        let id = self.ledger().tokens.get(name)?.id;
        let path = format!("/api/v1/tokens/{id}");
        self.booked(&self.repository, vec![(Key::Token(name.to_owned()), None)], || {
            let answer = tokens::ask(self.load.socket, "DELETE", &path, "");
            self.sorted(&format!("DELETE {path}"), answer, &[200])
        })
        .map(drop)
    }
}
