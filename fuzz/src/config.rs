//! Configurations: a text that is refused is told a place within it, and one that is taken can be put to work.

use homing_gateway::config::{ConfigError, GatewayConfig};
use std::path::Path;

/// A key file that is not there: nothing is read, and keys are made up.
const NO_KEYS: &str = "/nonexistent/homing.keys";

/// Panics where [`GatewayConfig::parse`] does, where its error has no place, or where what it takes is refused
/// afterwards.
pub fn check(data: &[u8]) {
    check_shifted(data, "");
}

/// As [`check`], where the text that is parsed has `before` in front of the one that places are looked for in.
pub fn check_shifted(data: &[u8], before: &str) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file = Path::new("fuzz.toml");
    match GatewayConfig::parse(&format!("{before}{text}"), file) {
        Ok(mut config) => {
            // All that needs files is left out.
            config.affinity.keys = NO_KEYS.into();
            config.tls = None;
            if let Err(error) = homing_gateway::check(&config) {
                panic!("taken, and refused later: {error}\n{text}");
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
