//! Tables of configurations that are refused, with the expected errors.

use super::Diagnostic;

/// Checks that each text of `table` is refused with the error in the line `=> LINE:COLUMN: KEY: message` after it.
pub fn check_refusals(table: &str, refuse: impl Fn(&str) -> Diagnostic) {
    let mut text = String::new();
    let mut checked = 0;
    for line in table.strip_prefix('\n').unwrap().lines() {
        let Some(expected) = line.strip_prefix("=> ") else {
            text += line;
            text += "\n";
            continue;
        };
        let refused = refuse(&text);
        let Diagnostic { line, column, key, message, .. } = &refused;
        let parts: Vec<_> = expected.splitn(3, ": ").collect();
        assert_eq!(parts[0], format!("{line}:{column}"), "{text}{refused}");
        assert_eq!(parts[1], key, "{text}{refused}");
        assert!(message.contains(parts[2]), "{text}{refused}\nlacks {:?}", parts[2]);
        text.clear();
        checked += 1;
    }
    assert!(checked > 0 && text.is_empty(), "a text without a place: {text:?}");
}
