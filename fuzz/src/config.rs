//! Configurations: errors have a position within the text, and an accepted configuration can be built.

use homing_gateway::config::{ConfigError, GatewayConfig};
use std::path::Path;

/// A key file that does not exist: nothing is read, and keys are generated.
const NO_KEYS: &str = "/nonexistent/homing.keys";

/// Panics if [`GatewayConfig::parse`] panics, if its error has no valid position, or if an accepted configuration is
/// refused afterwards.
pub fn check(data: &[u8]) {
    check_shifted(data, "");
}

/// As [`check`], but parses the text with the prefix `before`, and looks up positions in the text without it: a
/// control.
pub fn check_shifted(data: &[u8], before: &str) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Path::new("fuzz.toml");
    match GatewayConfig::parse(&format!("{before}{text}"), file) {
        Ok(mut config) => {
            // Excludes everything that needs files.
            config.affinity.keys = NO_KEYS.into();
            config.tls = None;
            if let Err(error) = homing_gateway::check(&config) {
                panic!("accepted, and refused later: {error}\n{text}");
            }
        }
        Err(ConfigError::Invalid(error)) => {
            let line = text.split('\n').nth(error.line.wrapping_sub(1));
            let width = line.unwrap_or_else(|| panic!("beyond the last line: {error}\n{text}")).chars().count();
            assert!((1..=width + 1).contains(&error.column), "beyond the line's end: {error}\n{text}");
            assert_eq!(error.file, file);
            assert!(!error.key.is_empty() && !error.message.is_empty(), "{error}\n{text}");
        }
        Err(error) => panic!("{error}\n{text}"),
    }
}
