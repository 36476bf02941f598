//! Variables of the environment whose names begin with `MIOD_`, and that no option reads.

use std::ffi::OsString;

use super::suggest::did_you_mean;
use crate::config::options::server_options;

/// Whether a variable describes a service named miod, and isn't an option. Kubernetes and
/// Docker set `MIOD_PORT=tcp://10.0.0.1:8080` for such a service.
pub(super) fn is_service_discovery(name: &str, value: &str) -> bool {
    name == "MIOD_PORT" && value.contains("://")
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
            "no option reads the variable MIOD_SERVICE_HOST",
        ];
        assert_eq!(warnings(variables), expected);
        assert!(warnings([("MIOD_PORT".into(), "8080".into())]).is_empty());
    }
}
