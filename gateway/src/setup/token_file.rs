//! The file with the administration's token.

use crate::admin::{BearerToken, TokenError};
use homing::config::keyfile::open_to_others;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Why there is no token to use.
#[derive(Debug, thiserror::Error)]
#[error("token_file {}: {source}", file.display())]
pub struct TokenFileError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    source: TokenFileFault,
}

#[derive(Debug, thiserror::Error)]
enum TokenFileFault {
    #[error("can't be read: {0}; make it with `openssl rand -hex 32`, readable by the gateway alone")]
    Read(#[from] io::Error),
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The token in `file`. Warns where its mode lets other users read it.
pub(super) fn load_token(file: &Path) -> Result<BearerToken, TokenFileError> {
    /// Longer than any token, so that a wrong path reads no large file.
    const MAX_BYTES: u64 = 64 * 1024;
    let load = || -> Result<BearerToken, TokenFileFault> {
        let open = File::open(file)?;
        if let Some(warning) = open_to_others(file, &open)? {
            tracing::warn!("{warning}");
        }
        let mut text = String::new();
        open.take(MAX_BYTES).read_to_string(&mut text)?;
        Ok(BearerToken::new(&text)?)
    };
    load().map_err(|source| TokenFileError { file: file.to_owned(), source })
}
