//! Values as they are written in a file.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    ops::Range,
    path::PathBuf,
    str::FromStr,
};

use toml::{Spanned, de::DeValue};

/// A value, and where it is in the text.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A value that cannot be used.
#[derive(Debug)]
pub(super) struct Wrong {
    /// Where it is in the text, in bytes.
    pub(super) at: Range<usize>,
    /// What is wrong with it, and what is allowed.
    pub(super) why: String,
}

/// How values of one type are read and written.
pub(super) struct Kind<T> {
    pub(super) read: Read<T>,
    pub(super) write: Write<T>,
}

type Read<T> = Box<dyn Fn(&Value<'_>) -> Result<T, Wrong>>;

/// Gives nothing for what is not set.
type Write<T> = Box<dyn Fn(&T) -> Option<String>>;

impl<T: 'static> Kind<T> {
    fn new(
        wants: impl Into<String>,
        read: impl Fn(&DeValue<'_>) -> Option<T> + 'static,
        write: impl Fn(&T) -> String + 'static,
    ) -> Self {
        let wants = wants.into();
        Self {
            read: Box::new(move |value| read(value.get_ref()).ok_or_else(|| unlike(value, &wants))),
            write: Box::new(move |value| Some(write(value))),
        }
    }

    /// The same, where it may not be set.
    pub(super) fn optional(self) -> Kind<Option<T>> {
        let Self { read, write } = self;
        Kind {
            read: Box::new(move |value| read(value).map(Some)),
            write: Box::new(move |value| value.as_ref().and_then(&write)),
        }
    }

    /// Lists of it.
    pub(super) fn list(self) -> Kind<Vec<T>> {
        let Self { read, write } = self;
        let write_list = move |list: &Vec<T>| {
            let items: Vec<String> = list.iter().filter_map(&write).collect();
            match items.len() {
                0 | 1 => format!("[{}]", items.concat()),
                _ => format!("[\n    {},\n]", items.join(",\n    ")),
            }
        };
        Kind {
            read: Box::new(move |value| match value.get_ref() {
                DeValue::Array(items) => items.iter().map(&read).collect(),
                _ => Err(unlike(value, "a list in brackets")),
            }),
            write: Box::new(move |list| Some(write_list(list))),
        }
    }

    /// What can be made of it.
    pub(super) fn map<U>(
        self,
        to: impl Fn(T) -> Result<U, String> + 'static,
        from: impl Fn(&U) -> T + 'static,
    ) -> Kind<U> {
        let Self { read, write } = self;
        Kind {
            read: Box::new(move |value| {
                to(read(value)?).map_err(|why| Wrong { at: value.span(), why })
            }),
            write: Box::new(move |value| write(&from(value))),
        }
    }
}

/// True or false.
pub(super) fn boolean() -> Kind<bool> {
    Kind::new("true or false", |value| value.as_bool(), bool::to_string)
}

/// A whole number from `least` to the greatest of its type.
pub(super) fn number<T>(least: T, greatest: T) -> Kind<T>
where
    T: TryFrom<u64> + PartialOrd + fmt::Display + Copy + 'static,
{
    let read = move |value: &DeValue<'_>| {
        let digits = value.as_integer()?;
        let number = u64::from_str_radix(digits.as_str(), digits.radix()).ok()?;
        T::try_from(number).ok().filter(|number| (least..=greatest).contains(number))
    };
    Kind::new(format!("a whole number from {least} to {greatest}"), read, T::to_string)
}

/// Any text.
pub(super) fn text() -> Kind<String> {
    let read = |value: &DeValue<'_>| value.as_str().map(str::to_owned);
    Kind::new("a text in quotes", read, |text| quote(text))
}

/// A text that `parse` understands.
pub(super) fn parsed<T, E>(parse: impl Fn(&str) -> Result<T, E> + 'static) -> Kind<T>
where
    T: fmt::Display + 'static,
    E: fmt::Display,
{
    let to = move |text: String| parse(&text).map_err(|error| format!("{text:?}: {error}"));
    text().map(to, T::to_string)
}

/// The same, where there may be a secret in it: what is wrong is told without it.
pub(super) fn secret<T, E>(parse: impl Fn(&str) -> Result<T, E> + 'static) -> Kind<T>
where
    T: fmt::Display + 'static,
    E: fmt::Display,
{
    let to = move |text: String| parse(&text).map_err(|error| error.to_string());
    text().map(to, T::to_string)
}

/// A text that its type understands.
pub(super) fn word<T>() -> Kind<T>
where
    T: FromStr + fmt::Display + 'static,
    T::Err: fmt::Display,
{
    parsed(str::parse)
}

/// An address of this machine, for which geth writes `localhost` too.
pub(super) fn host() -> Kind<IpAddr> {
    parsed(|text| match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text.parse().map_err(|_| "wants an IP address, or localhost"),
    })
}

/// A path; an empty one, as geth writes it, says that none is told.
pub(super) fn path() -> Kind<Option<PathBuf>> {
    let Kind { read, write } = text();
    Kind {
        read: Box::new(move |value| {
            let path = read(value)?;
            Ok((!path.is_empty()).then(|| path.into()))
        }),
        write: Box::new(move |path: &Option<PathBuf>| {
            write(&path.as_deref()?.to_string_lossy().into_owned())
        }),
    }
}

/// A text in the quotes of TOML.
pub(super) fn quote(text: &str) -> String {
    // JSON's escapes are TOML's, which has DEL escaped too.
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}

/// A value of another type, or out of bounds.
fn unlike(value: &Value<'_>, wants: &str) -> Wrong {
    let found = match value.get_ref() {
        DeValue::String(text) => format!("{text:?}"),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    };
    Wrong { at: value.span(), why: format!("wants {wants}, not {found}") }
}
