//! Reading messages: no more of them is kept than what a call needs, however they are made.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A call, as it was sent.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    /// The text of its id; geth takes all that is neither a list nor an object.
    pub(super) id: Option<&'a RawValue>,
    /// What is called, where it is a call of version 2.0.
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) params: Option<&'a RawValue>,
}

impl<'a> Call<'a> {
    /// The id, where it can be one.
    pub(super) fn usable_id(&self) -> Option<&'a str> {
        self.id.map(RawValue::get).filter(|id| !id.starts_with(['{', '[']))
    }
}

impl<'de> Deserialize<'de> for Call<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Call<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a call")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Call<'de>, A::Error> {
        let mut call = Call::default();
        let (mut version, mut method) = (None, None);
        while let Some(name) = fields.next_key::<&RawValue>()? {
            match name.get() {
                r#""id""# => call.id = Some(fields.next_value()?),
                r#""params""# => call.params = Some(fields.next_value()?),
                r#""jsonrpc""# => version = Some(fields.next_value::<&RawValue>()?.get()),
                r#""method""# => method = Some(fields.next_value::<&RawValue>()?.get()),
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        if version == Some(r#""2.0""#) {
            let is_text = |method: &&str| method.starts_with('"');
            let method = method.filter(is_text);
            call.method = method.and_then(|text| serde_json::from_str(text).ok());
        }
        Ok(call)
    }
}

/// The first items of a list, no more than `N`, and whether there are others.
#[derive(Debug)]
pub(super) struct First<'a, const N: usize> {
    pub(super) items: Vec<&'a RawValue>,
    pub(super) has_more: bool,
}

impl<'de: 'a, 'a, const N: usize> Deserialize<'de> for First<'a, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<'a, const N: usize>(PhantomData<&'a ()>);

impl<'de: 'a, 'a, const N: usize> Visitor<'de> for Items<'a, N> {
    type Value = First<'a, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<First<'a, N>, A::Error> {
        let mut first = First { items: Vec::new(), has_more: false };
        while first.items.len() < N {
            match list.next_element()? {
                Some(item) => first.items.push(item),
                None => return Ok(first),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {
            first.has_more = true;
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_read_whatever_is_around_it() {
        let text = r#"{"x":[{"":0}],"params":[1],"id":-1.5,"method":"a\u005fb","jsonrpc":"2.0"}"#;
        let call: Call<'_> = serde_json::from_str(text).unwrap();
        assert_eq!(call.method.as_deref(), Some("a_b"));
        assert_eq!((call.usable_id(), call.params.unwrap().get()), (Some("-1.5"), "[1]"));
        for (text, id) in [
            (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, Some("1")),
            (r#"{"jsonrpc":"2.0","id":[1],"method":7}"#, None),
            (r#"{"id":{},"method":"a"}"#, None),
            ("{}", None),
        ] {
            let call: Call<'_> = serde_json::from_str(text).unwrap();
            assert_eq!((call.method.is_none(), call.usable_id()), (true, id), "{text}");
        }
        assert!(serde_json::from_str::<Call<'_>>("[]").is_err());
    }

    #[test]
    fn no_more_of_a_list_is_kept_than_was_asked_for() {
        let list = format!("[{}0]", r#"{"":0},"#.repeat(100_000));
        let first: First<'_, 3> = serde_json::from_str(&list).unwrap();
        assert!(first.items.capacity() <= 4 && first.has_more);
        let none: First<'_, 0> = serde_json::from_str("[]").unwrap();
        assert!(!none.has_more);
        let exact: First<'_, 2> = serde_json::from_str("[1,2]").unwrap();
        assert_eq!((exact.items.len(), exact.has_more), (2, false));
        assert!(serde_json::from_str::<First<'_, 2>>("[1,2,3").is_err());
    }
}
