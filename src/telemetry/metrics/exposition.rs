//! The text format of metrics (Prometheus, "Text-based format", version 0.0.4).

use std::fmt::Write;

/// Begins a family of samples.
pub fn family(page: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a String does not fail.
    let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// `name="value"`, with the value escaped as the format demands: backslash, quote and line feed, and nothing else.
pub fn label(name: &str, value: &str) -> String {
    let mut out = String::with_capacity(name.len() + value.len() + 3);
    out.push_str(name);
    out.push_str("=\"");
    for letter in value.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_escapes_what_the_format_names_and_nothing_else() {
        assert_eq!(label("route", "GET /a"), r#"route="GET /a""#);
        assert_eq!(label("l", "a\\b\"c\nd\te\u{fc}"), "l=\"a\\\\b\\\"c\\nd\te\u{fc}\"");
    }

    #[test]
    fn a_family_says_what_it_is() {
        let mut page = String::new();
        family(&mut page, "up", "gauge", "Whether it is.");
        assert_eq!(page, "# HELP up Whether it is.\n# TYPE up gauge\n");
    }
}
