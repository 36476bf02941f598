//! The settings of a server as they are shown: by `miod check`, and to operators of the running
//! server.

mod routes;

use serde_json::{Map, Value as Json, json};

use super::server_help::table;
use crate::config::Config;
use crate::config::layers::Layers;
use crate::config::options::{Draft, Opt, ServerDraft, Value};
use crate::config::setting::{Origin, Setting};
use crate::config::shown::ShownSetting;
use routes::route_values;

/// All settings that count, each with where it comes from.
pub(super) fn settings(layers: &Layers, config: &Config) -> Vec<ShownSetting> {
    let mut settings = Vec::new();
    let draft = Draft::at(layers.command.default_port());
    let effective: Vec<&Setting> = layers.effective().collect();
    for option in table(layers.command) {
        let of_it: Vec<&&Setting> = effective.iter().filter(|setting| setting.option.long == option.long).collect();
        match of_it.last() {
            Some(last) => {
                let values: Vec<&String> = of_it.iter().flat_map(|setting| &setting.values).collect();
                settings.push(ShownSetting {
                    name: option.long.to_owned(),
                    value: shown(option, &values),
                    origin: origin(option, &last.origin),
                });
            }
            None => {
                let default = (option.default)(&draft);
                if option.value == Value::None || !default.is_empty() {
                    let values = if option.value == Value::None { Vec::new() } else { vec![&default] };
                    let value = shown(option, &values);
                    settings.push(ShownSetting { name: option.long.to_owned(), value, origin: "default".to_owned() });
                }
            }
        }
    }
    for (number, (host, own)) in config.hosts.iter().zip(&layers.file.hosts).enumerate() {
        let place = |key: &str| own.positions.of(key).map_or_else(String::new, |position| position.line_only());
        let name = |key: &str| format!("host[{number}].{key}");
        let names: Vec<_> = host.names.iter().map(ToString::to_string).collect();
        settings.push(ShownSetting { name: name("names"), value: json!(names), origin: place("names") });
        if !host.certificates.is_empty() {
            let files: Vec<_> = host.certificates.iter().map(ToString::to_string).collect();
            settings.push(ShownSetting { name: name("tls"), value: json!(files), origin: place("tls") });
        }
        if let Some(path) = &host.access_log {
            let value = json!(path.to_string_lossy());
            settings.push(ShownSetting { name: name("access-log"), value, origin: place("access-log") });
        }
        for setting in &own.settings {
            let value = shown(setting.option, &setting.values.iter().collect::<Vec<_>>());
            let origin = origin(setting.option, &setting.origin);
            settings.push(ShownSetting { name: name(setting.option.long), value, origin });
        }
        for (number, route) in own.routes.iter().enumerate() {
            for (key, value) in route_values(route) {
                let top = key.split('.').next().unwrap_or_default();
                let origin = route.positions.of(top).map_or_else(String::new, |position| position.line_only());
                settings.push(ShownSetting { name: name(&format!("route[{number}].{key}")), value, origin });
            }
        }
        for (number, fields) in own.file_fields.iter().enumerate() {
            let set: Map<String, Json> = fields.set.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let value = json!({ "glob": fields.glob, "set": set });
            settings.push(ShownSetting { name: name(&format!("header[{number}]")), value, origin: place("") });
        }
    }
    settings
}

/// The values of an option, as a configuration file would have them.
fn shown(option: &Opt<ServerDraft>, values: &[&String]) -> Json {
    let one = |text: &str| match text.parse::<u64>() {
        _ if option.secret => json!("***"),
        Ok(number) => json!(number),
        Err(_) => json!(text),
    };
    match (option.value, values) {
        (Value::None, []) => json!(false),
        (Value::None, values) if option.repeatable => json!(values.len()),
        (Value::None, _) => json!(true),
        (Value::Optional(_), []) => json!(false),
        (Value::Optional(_), [value]) if value.is_empty() => json!(true),
        (Value::Required(_), values) if option.repeatable => values.iter().map(|value| one(value)).collect(),
        (_, values) => values.last().map_or(Json::Null, |value| one(value)),
    }
}

fn origin(option: &Opt<ServerDraft>, origin: &Origin) -> String {
    match origin {
        Origin::Argument => "argument".to_owned(),
        Origin::Variable => option.variable(),
        Origin::File(position) => position.line_only(),
    }
}
