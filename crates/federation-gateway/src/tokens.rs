//! Bearer tokens of clients: made once, shown once, kept only as their hash.

use crate::index::failed;
use jiff::Timestamp;
use mosaic_common::ids::{hex, unhex};
use mosaic_common::keys::{random_bytes, sha256};
use mosaic_common::{Alias, Clock, Reason, Refusal, SystemClock};
use mosaic_store::{EmbeddedStore, Error, Row, StateStore, Table, Write};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How a token begins, so that people and scanners know what has leaked.
const PREFIX: &str = "mst_";

/// Random bytes of a secret: 256 bits, which nobody guesses.
const SECRET_BYTES: usize = 32;

/// How the keys of names begin; those of tokens are hexadecimal.
const NAME: &str = "@";

/// Rows read at once.
const PAGE: usize = 500;

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read.
    Viewer,
    /// Everything.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
        })
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "admin" => Ok(Self::Admin),
            other => Err(format!("{other:?} is neither viewer nor admin")),
        }
    }
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Its name: who it was made for.
    pub name: Alias,
    /// What it allows.
    pub role: Role,
    /// When it was made.
    pub created: Timestamp,
}

/// The tokens of one hub.
#[derive(Debug, Clone)]
pub struct Tokens {
    store: Arc<dyn StateStore>,
    clock: Arc<dyn Clock>,
}

/// Why a token could not be made or found.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name is taken.
    #[error("there is a token {0} already; revoke it first, or choose another name")]
    Taken(Alias),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Tokens {
    /// The tokens in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn StateStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// The tokens of the hub whose data folder this is, running or not.
    ///
    /// # Errors
    /// If its store cannot be opened.
    pub fn of(data: &Path) -> Result<Self, Error> {
        let (store, _) = EmbeddedStore::open(&crate::config::store_folder(data))?;
        Ok(Self::new(Arc::new(store), Arc::new(SystemClock)))
    }

    /// Makes a token and returns its secret: 256 bits that are kept nowhere.
    ///
    /// # Errors
    /// If the name is taken, or the store cannot be used.
    pub async fn create(&self, name: &Alias, role: Role) -> Result<String, TokenError> {
        let secret = format!("{PREFIX}{}", hex(&random_bytes::<SECRET_BYTES>()));
        let token = Token {
            name: name.clone(),
            role,
            created: self.clock.now(),
        };
        let value = serde_json::to_vec(&token).map_err(|error| Error::Write(error.into()))?;
        let key = key(&secret);
        let batch = vec![
            Write::Create(Table::Tokens, name_key(name), key.clone().into_bytes()),
            Write::Create(Table::Tokens, key, value),
        ];
        match self.store.apply(batch).await {
            Ok(_) => Ok(secret),
            Err(Error::Exists { .. }) => Err(TokenError::Taken(name.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// Every token, newest first.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self) -> Result<Vec<Token>, Error> {
        let (mut before, mut tokens) = (None, Vec::new());
        loop {
            let rows = self.store.scan(Table::Tokens, before, PAGE).await?;
            let Some(last) = rows.last() else {
                return Ok(tokens);
            };
            before = Some(last.number);
            for row in rows.iter().filter(|row| is_token(row)) {
                let token = serde_json::from_slice(&row.value);
                tokens.push(token.map_err(|error| Error::Read(error.into()))?);
            }
        }
    }

    /// Makes a token worthless, at once. Returns whether there was one of this name.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn revoke(&self, name: &Alias) -> Result<bool, Error> {
        let by_name = name_key(name);
        let Some(key) = self.store.get(Table::Tokens, &by_name).await? else {
            return Ok(false);
        };
        let key = String::from_utf8(key).map_err(|error| Error::Read(error.into()))?;
        let gone = [key, by_name].map(|key| Write::Delete(Table::Tokens, key));
        self.store.apply(gone.into()).await?;
        Ok(true)
    }

    /// The client that an `authorization` header stands for.
    ///
    /// # Errors
    /// [`Reason::TokenInvalid`], or [`Reason::RoleInsufficient`] for what `needed` allows.
    pub async fn authenticate(&self, header: Option<&str>, needed: Role) -> Result<Token, Refusal> {
        let invalid = || {
            let what = "send `authorization: Bearer <token>` with a token of this hub";
            Refusal::new(Reason::TokenInvalid, what)
        };
        let secret = header.and_then(|value| value.strip_prefix("Bearer "));
        let secret = secret.filter(|secret| is_secret(secret));
        // Looked up by hash: how long it takes says nothing about a secret.
        let key = key(secret.ok_or_else(invalid)?);
        let found = self.store.get(Table::Tokens, &key).await;
        let found = found.map_err(|error| failed(&error))?;
        let token: Token = serde_json::from_slice(&found.ok_or_else(invalid)?)
            .map_err(|error| failed(&Error::Read(error.into())))?;
        if token.role < needed {
            let what = format!(
                "the token {} is a {}'s; this needs {needed}",
                token.name, token.role
            );
            return Err(Refusal::new(Reason::RoleInsufficient, what));
        }
        Ok(token)
    }
}

/// Whether a row of the table is a token, and not the name of one.
pub(crate) fn is_token(row: &Row) -> bool {
    !row.key.starts_with(NAME)
}

/// The row that holds a name's place: two tokens of one name would be revoked as one.
fn name_key(name: &Alias) -> String {
    format!("{NAME}{name}")
}

fn key(secret: &str) -> String {
    hex(&sha256(secret.as_bytes()))
}

/// Whether text has the form of a secret: nothing else is worth a look into the store.
fn is_secret(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).and_then(unhex);
    digits.is_some_and(|bytes| bytes.len() == SECRET_BYTES)
}

#[cfg(test)]
mod tests;
