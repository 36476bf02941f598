//! Settings as they are shown to people and programs, each with its origin.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// A setting as it is shown. Secrets are masked.
#[derive(Clone, PartialEq, Debug)]
pub struct ShownSetting {
    /// The option, or a path like `host[0].root`.
    pub name: String,
    /// Its value, as a configuration file would have it.
    pub value: Value,
    /// Where it comes from: an argument, a variable, a line of a file, or the default.
    pub origin: String,
}

/// One line for each setting.
pub fn text(settings: &[ShownSetting]) -> String {
    let mut text = String::new();
    for ShownSetting { name, value, origin } in settings {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        // Writing to a string can't fail.
        let _ = writeln!(text, "{:<48}  {origin}", format!("{name} = {shown}"));
    }
    text
}

/// An object with a member for each setting, in one line.
pub fn json(settings: Vec<ShownSetting>) -> String {
    let member = |ShownSetting { name, value, origin }| (name, json!({ "value": value, "origin": origin }));
    let object: Map<String, Value> = settings.into_iter().map(member).collect();
    crate::text::json::to_string(&Value::Object(object)) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_value_and_origin() {
        let setting = |name: &str, value: Value, origin: &str| ShownSetting {
            name: name.to_owned(),
            value,
            origin: origin.to_owned(),
        };
        let all = vec![setting("root", json!("/srv"), "argument"), setting("port", json!(80), "a.toml:1")];
        let lines: Vec<String> =
            text(&all).lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines, ["root = /srv argument", "port = 80 a.toml:1"]);
        let expected = json!({
            "root": { "value": "/srv", "origin": "argument" }, "port": { "value": 80, "origin": "a.toml:1" }
        });
        assert_eq!(serde_json::from_str::<Value>(&json(all)).unwrap(), expected);
    }
}
