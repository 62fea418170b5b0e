//! A permission that is withdrawn in the middle of a body ends the upload at its next checkpoint.

use super::*;
use crate::access::{Credential, Scopes};
use crate::model::digest::Algorithm;
use crate::model::names::UserId;
use crate::store::meta::Tx as _;
use crate::store::meta::schema::{self, User};

const HANNA: UserId = UserId(7);

#[test]
fn a_checkpoint_asks_again_whether_its_caller_may_push() {
    let place = Place::new();
    let server = place.open(true);
    server.forge(|tx| tx.put(&schema::USER, HANNA, &User::sample("hanna")));
    let principal = Principal::User {
        id: HANNA,
        name: "hanna".into(),
        credential: Credential::Password(1),
        scopes: Scopes::ALL,
        claims: None,
    };
    let caller = Caller { principal, address: None };
    let grant: Grant<Push> = server.access.repository(&caller, &"team/app".parse().unwrap()).unwrap();
    let upload = server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap();
    let body = || Body::whole(vec![Bytes::from_static(b"some bytes")]);
    server.wait(server.append(&grant, upload, None, body())).unwrap();
    // The next body has begun when the user is deleted and the repository removed.
    let writer = server.wait(server.registry.write_upload(&grant, upload, Announced::default())).unwrap();
    server.forge(|tx| {
        tx.delete(&schema::USER, HANNA)?;
        let epoch = tx.get(&schema::AUTH_EPOCH, ())?.unwrap_or(0);
        tx.put(&schema::AUTH_EPOCH, (), &(epoch + 1))?;
        let id = tx.get(&schema::REPOSITORY_NAME, "team/app")?.expect("the first checkpoint made it");
        tx.delete(&schema::REPOSITORY_NAME, "team/app")?;
        tx.delete(&schema::REPOSITORY, id).map(drop)
    });
    let refused = server.wait(writer.append(body())).err();
    assert!(matches!(refused, Some(RegistryError::Withdrawn)), "{refused:?}");
    assert_eq!(server.meta.get(|tx| tx.count(&schema::REPOSITORY)).unwrap(), 0);
}
