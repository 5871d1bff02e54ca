//! Arguments of a call, by position.

use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::Value;

use super::message::First;

/// geth's code for arguments that cannot be used.
const INVALID_PARAMS: i32 = -32602;

/// geth's code for whatever fails.
const FAILED: i32 = -32000;

/// At most `N` arguments, each a plain value; those that are not given are null.
pub(super) fn positional<const N: usize>(
    params: &Params<'_>,
) -> Result<[Value; N], ErrorObjectOwned> {
    let text = params.as_str().filter(|text| *text != "null").unwrap_or("[]");
    let given: First<'_, N> =
        serde_json::from_str(text).map_err(|_| error(INVALID_PARAMS, "non-array args"))?;
    if given.has_more {
        let why = format!("too many arguments, want at most {N}");
        return Err(error(INVALID_PARAMS, why));
    }
    let mut values = std::array::from_fn(|_| Value::Null);
    for (index, (value, given)) in values.iter_mut().zip(given.items).enumerate() {
        // Made of lists and objects, it may take a hundred times its size.
        if given.get().starts_with(['{', '[']) {
            return Err(invalid(index, "wants a plain value"));
        }
        *value = serde_json::from_str(given.get()).map_err(|error| invalid(index, error))?;
    }
    Ok(values)
}

/// One argument, a text.
pub(super) fn one_text(params: &Params<'_>) -> Result<String, ErrorObjectOwned> {
    let [value] = positional(params)?;
    text(0, value)
}

/// The argument at `index` as a text.
pub(super) fn text(index: usize, value: Value) -> Result<String, ErrorObjectOwned> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Err(missing(index)),
        value => Err(invalid(index, format!("wants a string, not {value}"))),
    }
}

/// No argument at all.
pub(super) fn none(params: &Params<'_>) -> Result<(), ErrorObjectOwned> {
    positional::<0>(params).map(|_| ())
}

/// An argument must be there.
pub(super) fn missing(index: usize) -> ErrorObjectOwned {
    error(INVALID_PARAMS, format!("missing value for required argument {index}"))
}

/// An argument cannot be used.
pub(super) fn invalid(index: usize, why: impl std::fmt::Display) -> ErrorObjectOwned {
    error(INVALID_PARAMS, format!("invalid argument {index}: {why}"))
}

/// The call failed.
pub(super) fn failed(why: impl Into<String>) -> ErrorObjectOwned {
    error(FAILED, why)
}

pub(super) fn error(code: i32, message: impl Into<String>) -> ErrorObjectOwned {
    ErrorObjectOwned::owned(code, message, None::<()>)
}
