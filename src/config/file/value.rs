//! TOML values as options and routes read them.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::options::{Opt, ServerDraft, Value};

/// A value of the wrong type: where it is, and what a right one looks like.
pub(super) struct Written {
    pub(super) span: Range<usize>,
    pub(super) hint: String,
}

/// The values of an option as they would be written on the command line, and where they are.
pub(super) fn texts(
    option: &Opt<ServerDraft>,
    value: &Spanned<DeValue<'_>>,
) -> Result<Vec<(String, Range<usize>)>, Written> {
    let span = value.span();
    let wrong = |span: Range<usize>, hint: &str| Err(Written { span, hint: hint.to_owned() });
    match (option.value, value.get_ref()) {
        (Value::None | Value::Optional(_), DeValue::Boolean(true)) => Ok(vec![(String::new(), span)]),
        (Value::None | Value::Optional(_), DeValue::Boolean(false)) => Ok(Vec::new()),
        // `verbose = 2` is -vv.
        (Value::None, DeValue::Integer(_)) if option.repeatable => match integer(value.get_ref()) {
            Ok(times @ 0..=9) => Ok((0..times).map(|_| (String::new(), span.clone())).collect()),
            _ => wrong(span, "give true, false, or how many times, up to 9"),
        },
        (Value::None, _) => wrong(span, "give true or false"),
        (Value::Optional(_), DeValue::Array(array)) => {
            let names = array.iter().map(|one| text(one.get_ref())).collect::<Result<Vec<_>, _>>();
            names.map(|names| vec![(names.join(","), span.clone())]).map_err(|hint| Written { span, hint })
        }
        (Value::Required(_), DeValue::Array(array)) if option.repeatable => {
            let one = |one: &Spanned<DeValue<'_>>| match text(one.get_ref()) {
                Ok(text) => Ok((text, one.span())),
                Err(hint) => Err(Written { span: one.span(), hint }),
            };
            array.iter().map(one).collect()
        }
        (Value::Required(_), DeValue::Array(_)) => wrong(span, "give one value, not a list"),
        (Value::Required(name) | Value::Optional(name), value) => match text(value) {
            Ok(text) => Ok(vec![(text, span)]),
            Err(_) => wrong(span, &format!("give {name}")),
        },
    }
}

/// A text or a number, as it is written.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().trim_start_matches('+').to_owned()),
        DeValue::Integer(_) => integer(value).map(|number| number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        _ => Err("give a text, in quotation marks".to_owned()),
    }
}

/// A text.
pub(super) fn string(value: &DeValue<'_>) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "give a text, in quotation marks".to_owned())
}

/// A text, or a list of texts.
pub(super) fn strings(value: &DeValue<'_>) -> Result<Vec<String>, String> {
    match value.as_array() {
        Some(array) => array.iter().map(|one| string(one.get_ref())).collect(),
        None => Ok(vec![string(value)?]),
    }
}

/// A whole number that isn't negative.
pub(super) fn integer(value: &DeValue<'_>) -> Result<u64, String> {
    let number = value.as_integer().and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
    number.ok_or_else(|| "give a whole number".to_owned())
}

/// True or false.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| "give true or false".to_owned())
}
