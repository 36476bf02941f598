//! Variables of the environment whose names begin with `MIOD_`: those of options, and those that
//! no option reads.

use std::ffi::OsString;

use super::UsageError;
use crate::config::options::{Draft, Opt, ServerDraft, Value, server_options};
use crate::config::setting::{Origin, Setting};
use crate::config::values;
use crate::text::suggest::did_you_mean;

/// Whether a variable describes a service named miod, and isn't an option. Kubernetes and
/// Docker set `MIOD_PORT=tcp://10.0.0.1:8080` for such a service.
pub(super) fn is_service_discovery(name: &str, value: &str) -> bool {
    name == "MIOD_PORT" && value.contains("://")
}

/// The settings of the variables of these options. Each is tried on `draft`.
///
/// # Errors
/// If a value is wrong.
pub(super) fn settings(
    options: &[&'static Opt<ServerDraft>],
    variable: impl Fn(&str) -> Option<OsString>,
    draft: &mut Draft<ServerDraft>,
) -> Result<Vec<Setting>, UsageError> {
    let mut settings = Vec::new();
    for option in options.iter().filter(|option| option.environment) {
        let name = option.variable();
        let Some(value) = variable(&name) else { continue };
        let value = value.to_str().ok_or_else(|| UsageError(format!("the value of {name} is not UTF-8")))?;
        if is_service_discovery(&name, value) {
            continue;
        }
        let wrong = |hint| UsageError(format!("{name}{}: {hint}", option.shown(value)));
        let Some(values) = texts(option, value).map_err(wrong)? else { continue };
        let setting = Setting { option, values, origin: Origin::Variable };
        setting.apply(draft).map_err(wrong)?;
        settings.push(setting);
    }
    Ok(settings)
}

/// The values in a variable; none if it counts as unset.
fn texts(option: &Opt<ServerDraft>, value: &str) -> Result<Option<Vec<String>>, String> {
    let one = |value: &str| Some(vec![value.to_owned()]);
    Ok(match option.value {
        Value::None => values::switch(value)?.then(|| vec![String::new()]),
        _ if value.is_empty() => None,
        // The value is a switch, or a list of names.
        Value::Optional(_) => match values::switch(value) {
            Ok(true) => one(""),
            Ok(false) => None,
            Err(_) => one(value),
        },
        Value::Required(_) if option.repeatable => {
            let parts = value.split(option.separator).filter(|part| !part.is_empty());
            Some(parts.map(str::to_owned).collect())
        }
        Value::Required(_) => one(value),
    })
}

/// A warning for each variable that begins with `MIOD_` and is ignored.
pub(super) fn warnings(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<String> {
    let known: Vec<_> = server_options().filter(|option| option.environment).map(|option| option.variable()).collect();
    let mut warnings: Vec<_> = variables
        .into_iter()
        .filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| name.starts_with("MIOD_"))?;
            if is_service_discovery(&name, &value.to_string_lossy()) {
                return Some(format!("{name} describes a service, not a port; it is ignored"));
            }
            let hint = did_you_mean("", &name, known.iter().map(String::as_str));
            (!known.contains(&name)).then(|| format!("no option reads the variable {name}{hint}"))
        })
        .collect();
    warnings.sort();
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_variables_are_reported() {
        let variables = [
            ("PATH", "/bin"),
            ("MIOD_IDLE_TIMEOUT", "9"),
            ("MIOD_PORT", "tcp://10.96.12.34:8080"),
            ("MIOD_SERVICE_HOST", "10.96.12.34"),
            ("MIOD_IDEL_TIMEOUT", "9"),
        ];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let expected = [
            "MIOD_PORT describes a service, not a port; it is ignored",
            "no option reads the variable MIOD_IDEL_TIMEOUT; did you mean MIOD_IDLE_TIMEOUT?",
            "no option reads the variable MIOD_SERVICE_HOST; did you mean MIOD_STRICT_HOSTS?",
        ];
        assert_eq!(warnings(variables), expected);
        assert!(warnings([("MIOD_PORT".into(), "8080".into())]).is_empty());
    }
}
