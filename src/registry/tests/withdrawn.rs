//! A permission that ends in the middle of a body ends the upload with its next checkpoint.

use super::*;
use crate::auth::{Credential, Scopes};
use crate::model::digest::Algorithm;
use crate::model::names::UserId;
use crate::store::meta::rows::User;
use crate::store::meta::{Tx as _, tables};

const HANNA: u64 = 7;

#[test]
fn a_checkpoint_asks_again_whether_its_caller_may_push() {
    let place = Place::new();
    let server = place.open(true);
    server.forge(|tx| tx.put(&tables::USER, HANNA, &User::sample("hanna")));
    let principal = Principal::User {
        id: UserId(HANNA),
        name: "hanna".into(),
        credential: Credential::Password(1),
        scopes: Scopes::ALL,
        access: None,
    };
    let caller = Caller { principal, address: None };
    let grant: Grant<Push> = server.auth.repository(&caller, &"team/app".parse().unwrap()).unwrap();
    let upload = server.wait(server.registry.start_upload(&grant, Algorithm::Sha256)).unwrap();
    let body = || Body::whole(vec![Bytes::from_static(b"some bytes")]);
    server.wait(server.append(&grant, upload, None, body())).unwrap();
    // The next body has begun when the user goes and the repository is removed.
    let writer = server.wait(server.registry.write_upload(&grant, upload, Announced::default())).unwrap();
    server.forge(|tx| {
        tx.delete(&tables::USER, HANNA)?;
        let epoch = tx.get(&tables::AUTH_EPOCH, ())?.unwrap_or(0);
        tx.put(&tables::AUTH_EPOCH, (), &(epoch + 1))?;
        let id = tx.get(&tables::REPOSITORY_NAME, "team/app")?.expect("the first checkpoint made it");
        tx.delete(&tables::REPOSITORY_NAME, "team/app")?;
        tx.delete(&tables::REPOSITORY, id).map(drop)
    });
    let refused = server.wait(writer.append(body())).err();
    assert!(matches!(refused, Some(RegistryError::Withdrawn)), "{refused:?}");
    assert_eq!(server.meta.get(|tx| tx.count(&tables::REPOSITORY)).unwrap(), 0);
}
