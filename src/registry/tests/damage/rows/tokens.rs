//! Damage to the rows of tokens.

use super::*;
use crate::model::names::TokenId;
use crate::model::secret::SecretHash;
use crate::store::meta::schema::{Refresh, Token};

#[test]
fn damage_to_tokens_and_their_indexes_is_found() {
    fn token() -> Token {
        Token {
            user: UserId(5),
            name: "ci".to_owned(),
            hash: SecretHash([1; 32]),
            scopes: 1,
            created_ms: 0,
            expires_ms: None,
            last_used_ms: None,
            last_address: String::new(),
        }
    }
    fn refresh() -> Refresh {
        Refresh { user: UserId(5), token: None, password_version: 1, used_ms: 0, sequence: Sequence(1) }
    }
    assert_found(&[
        ("token_hash", |tx, _, _| tx.put(&schema::TOKEN_HASH, &SecretHash([1; 32]), &TokenId(77))),
        ("token_by_user", |tx, _, _| tx.put(&schema::TOKEN_BY_USER, (UserId(5), TokenId(77)), &())),
        ("token_hash", |tx, _, _| tx.put(&schema::TOKEN, TokenId(1), &token())),
        ("token_by_user", |tx, _, _| tx.put(&schema::TOKEN, TokenId(1), &token())),
        ("clock", |tx, _, _| tx.put(&schema::TOKEN, TokenId(1 << 40), &token())),
        ("refresh_by_user", |tx, _, _| tx.put(&schema::REFRESH, &SecretHash([1; 32]), &refresh())),
        ("refresh_by_user", |tx, _, _| {
            tx.put(&schema::REFRESH_BY_USER, (UserId(5), Sequence(1)), &Raw(vec![2; 32]))
        }),
    ]);
}
