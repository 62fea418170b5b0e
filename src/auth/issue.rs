//! The token endpoint: authenticates the applicant, evaluates the requested scopes, and issues the token
//! (CNCF Distribution, "Token Authentication Specification").

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::credentials::{Basic, Header};
use super::jwt::Claims;
use super::scope_request::ScopeRequest;
use super::sign_in_error::SignInError;
use super::{Auth, SERVICE};
use crate::access::{AccessEntry, Credential, Kind, Principal, Resource};
use crate::model::names::RepoName;
use crate::store::meta::{StoreError, Tx as _, schema};

/// How long before its time of issue a token is valid, for clocks that differ.
const EARLY_S: u64 = 60;
/// The most resources that one token covers: the token is sent with every request, and kept in memory.
pub const MAX_SCOPES: usize = 16;

/// The applicant for a token.
pub enum Applicant<'a> {
    /// A caller without a credential.
    Anonymous,
    /// The user or token of this `Authorization` header.
    Header(&'a str),
    /// A name and a password or personal token.
    Password(String, String),
    /// The holder of a refresh token.
    Refresh(String),
}

/// A token that was issued.
pub struct Issued {
    /// The token.
    pub token: String,
    /// Seconds that it is valid.
    pub expires_in: u64,
    /// The requested resources, with the actions that were granted and those that were not.
    pub access: Vec<AccessEntry>,
    /// A refresh token, if the client requested one and a user signed in.
    pub refresh: Option<String>,
    /// The user who signed in; empty for an anonymous caller.
    pub name: String,
}

impl Auth {
    /// Issues a token for as much of `scopes` as is permitted. It is not an error if that is less than was
    /// requested.
    pub async fn issue(
        self: &Arc<Self>,
        applicant: Applicant<'_>,
        address: Option<IpAddr>,
        scopes: &[ScopeRequest],
        offline: bool,
    ) -> Result<Issued, SignInError> {
        let mut kept = None;
        let principal = match applicant {
            Applicant::Anonymous => None,
            Applicant::Header(header) => match Header::parse(header) {
                Some(Header::Basic(basic)) => Some(self.basic(basic, address).await?),
                _ => return Err(SignInError::Malformed),
            },
            Applicant::Password(name, password) => Some(self.basic(Basic { name, password }, address).await?),
            Applicant::Refresh(token) => {
                let principal = self.redeem(&token).await?;
                kept = Some(token);
                Some(principal)
            }
        };
        let access = self.permitted(principal.as_ref(), scopes)?;
        let refresh = match (&principal, kept) {
            (_, Some(token)) => Some(token),
            (Some(principal), None) if offline => self.new_refresh(principal).await?,
            _ => None,
        };
        // Uses the clock that tokens are verified with, which does not go back when the system's clock does.
        let issued_s = self.meta.latest_ms() / 1000;
        let expires_in = self.settings.load().token_ttl_s;
        let (uid, tid, pwv) = match &principal {
            Some(Principal::User { id, credential: Credential::Password(version), .. }) => {
                (id.0, 0, *version)
            }
            Some(Principal::User { id, credential: Credential::Token(token), .. }) => (id.0, token.0, 0),
            _ => (0, 0, 0),
        };
        let claims = Claims {
            iss: SERVICE.to_owned(),
            sub: principal.as_ref().map(|principal| principal.name().to_owned()).unwrap_or_default(),
            aud: SERVICE.to_owned(),
            exp: issued_s + expires_in,
            nbf: issued_s.saturating_sub(EARLY_S),
            iat: issued_s,
            jti: Uuid::new_v4().simple().to_string(),
            access: access.clone(),
            uid,
            tid,
            pwv,
        };
        let token = self.signer.sign(&claims).ok_or(SignInError::Store(StoreError::Failed))?;
        Ok(Issued { token, expires_in, access, refresh, name: claims.sub })
    }

    /// Evaluates the scopes: for each resource once, in order, the actions that the policy permits and those
    /// that it does not.
    fn permitted(
        &self,
        principal: Option<&Principal>,
        scopes: &[ScopeRequest],
    ) -> Result<Vec<AccessEntry>, StoreError> {
        let mut wanted: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for scope in scopes {
            let thing = (scope.kind.as_str(), scope.name.as_str());
            if wanted.len() == MAX_SCOPES && !wanted.contains_key(&thing) {
                continue;
            }
            let actions = wanted.entry(thing).or_default();
            actions.extend(scope.actions.iter().map(String::as_str));
        }
        let mut access = Vec::new();
        for ((kind, name), actions) in wanted {
            let entry = match kind {
                "repository" => self.on_repository(principal, name, &actions)?,
                "registry" if name == "catalog" => self.on_catalog(principal, &actions)?,
                _ => None,
            };
            access.extend(entry);
        }
        Ok(access)
    }

    fn on_repository(
        &self,
        principal: Option<&Principal>,
        name: &str,
        actions: &BTreeSet<&str>,
    ) -> Result<Option<AccessEntry>, StoreError> {
        let Ok(name) = name.parse::<RepoName>() else { return Ok(None) };
        let id = self.meta.get(|tx| tx.get(&schema::REPOSITORY_NAME, name.as_str()))?;
        let repository = Resource::Repository { name: name.as_str(), id };
        let (mut granted, mut refused) = (Vec::new(), Vec::new());
        for (action, kind) in [("delete", Kind::Delete), ("pull", Kind::Pull), ("push", Kind::Push)] {
            let asked = actions.contains(action) || actions.contains("*");
            if asked {
                let permitted = self.would_permit(principal, kind, repository)?;
                if permitted { &mut granted } else { &mut refused }.push(action.to_owned());
            }
        }
        let entry = AccessEntry {
            kind: "repository".to_owned(),
            name: name.to_string(),
            actions: granted,
            id: id.unwrap_or_default().0,
            refused,
        };
        Ok((!entry.actions.is_empty() || !entry.refused.is_empty()).then_some(entry))
    }

    fn on_catalog(
        &self,
        principal: Option<&Principal>,
        actions: &BTreeSet<&str>,
    ) -> Result<Option<AccessEntry>, StoreError> {
        let granted = actions.contains("*") && self.would_permit(principal, Kind::Catalog, Resource::Site)?;
        Ok(granted.then(|| AccessEntry {
            kind: "registry".to_owned(),
            name: "catalog".to_owned(),
            actions: vec!["*".to_owned()],
            id: 0,
            refused: Vec::new(),
        }))
    }

    /// Whether the policy permits this to the identity, whatever token it presents.
    fn would_permit(
        &self,
        principal: Option<&Principal>,
        kind: Kind,
        resource: Resource<'_>,
    ) -> Result<bool, StoreError> {
        let anonymous = Principal::Anonymous { claims: Arc::default() };
        self.access.allows(principal.unwrap_or(&anonymous), kind, resource)
    }

    /// The public key of registry tokens as a JWK set.
    pub fn key_set(&self) -> serde_json::Value {
        self.signer.key_set()
    }
}
