//! The methods about bans.

use std::time::Duration;

use devp2p_core::{Ban, BanTarget};
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde_json::{Value, json};

use super::{
    params::{failed, invalid, one_text, positional, text},
    times::rfc3339,
};

type Result<T> = std::result::Result<T, ErrorObjectOwned>;

/// The arguments of `admin_banPeer`: whom to ban, and for how many seconds; without them for good.
pub(super) fn whom_and_how_long(params: &Params<'_>) -> Result<(BanTarget, Option<Duration>)> {
    let [whom, seconds] = positional(params)?;
    let duration = match seconds {
        Value::Null => None,
        seconds => match seconds.as_u64().filter(|&seconds| seconds > 0) {
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => return Err(invalid(1, format!("wants seconds, more than 0, not {seconds}"))),
        },
    };
    Ok((target(&text(0, whom)?)?, duration))
}

/// The only argument, whom a ban concerns.
pub(super) fn whom(params: &Params<'_>) -> Result<BanTarget> {
    target(&one_text(params)?)
}

fn target(text: &str) -> Result<BanTarget> {
    text.parse().map_err(|error| failed(format!("invalid target: {error}")))
}

/// `admin_bans`, an element.
pub(super) fn ban(ban: &Ban) -> Value {
    json!({
        "target": ban.target.to_string(),
        "until": ban.until.map(|seconds| rfc3339(Duration::from_secs(seconds))),
    })
}
