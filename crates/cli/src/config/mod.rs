//! What `devp2p run` is told, and by whom: the defaults, over them the file of `--config`, over that
//! the environment, over that the command line.

mod args;
mod bind;
mod datadir;
mod dump;
mod environment;
mod file;
mod keys;
mod proxy;
mod settings;
mod value;

use std::ffi::OsString;

pub(crate) use self::{
    args::RunArgs, bind::Bind, datadir::Datadir, dump::dump, proxy::Proxy, settings::Settings,
};
use crate::failure::Failure;

/// What all sources together tell.
///
/// # Errors
/// The first source with something in it that cannot be used, and what.
pub(crate) fn load(
    args: RunArgs,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Settings, Failure> {
    let environment = environment::layers(variables)?;
    let mut settings = Settings::default();
    let named = environment.iter().find_map(|layer| layer.config.as_deref());
    if let Some(path) = args.config.as_deref().or(named) {
        file::load(path, &mut settings)?;
    }
    for layer in environment.into_iter().chain([args]) {
        layer.apply(&mut settings);
    }
    Ok(settings)
}

/// The one of these names that was most likely meant, if one is like it.
fn did_you_mean<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// So many letters may be wrong, missing or too many.
    const SLIPS: usize = 2;
    let slips =
        |name: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &name.to_lowercase());
    let (slips, name) = names.map(|name| (slips(name), name)).min()?;
    (slips <= SLIPS.min(name.len() / 3)).then_some(name)
}
