//! JSON text (RFC 8259).

use serde::Serialize;

/// `value` as JSON on one line. All control characters are escaped, even those that JSON
/// allows unescaped, because JSON is shown in terminals.
///
/// # Panics
/// If it has a map with keys that are no text.
pub fn to_string(value: &(impl Serialize + ?Sized)) -> String {
    let json = serde_json::to_string(value).expect("the keys of maps are text");
    if !json.contains(char::is_control) {
        return json;
    }
    // Outside of strings there are none.
    let escape = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_control_characters_are_escaped() {
        assert_eq!(to_string(""), "\"\"");
        assert_eq!(to_string("\"\\\n"), r#""\"\\\n""#);
        assert_eq!(to_string("\0\x1f\x7f\u{9b}\u{e4}"), "\"\\u0000\\u001f\\u007f\\u009b\u{e4}\"");
        assert_eq!(to_string(&[("a\x7f", 1)]), "[[\"a\\u007f\",1]]");
    }
}
