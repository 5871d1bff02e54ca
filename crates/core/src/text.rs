//! Feature `serde`: what has a text form is serialised as that text.

use std::{borrow::Cow, fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{NetRestrict, Node, NodeId, PublicKey, Record};

fn from_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map_err(D::Error::custom)
}

macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer)
            }
        }
    )*};
}

as_text!(NetRestrict, Node, NodeId, PublicKey, Record);

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::NodeKey;

    fn check<T: Serialize + DeserializeOwned + Display + Debug + PartialEq>(value: &T) {
        let json = serde_json::to_string(value).unwrap();
        assert_eq!(json, format!("\"{value}\""));
        assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value);
        assert!(serde_json::from_str::<T>("\"nonsense\"").is_err());
        assert!(serde_json::from_str::<T>("7").is_err());
    }

    #[test]
    fn everything_with_a_text_form_is_a_string() {
        let key = NodeKey::from_bytes(&[3; 32]).unwrap();
        let record = Record::builder().tcp(7).sign(&key).unwrap();
        check(&key.public_key());
        check(&key.id());
        check(&Node::from(key.public_key()));
        check(&Node::from(record.clone()));
        check(&record);
        check(&"10.0.0.0/8,fd00::/8".parse::<NetRestrict>().unwrap());
        let escaped = serde_json::from_str::<NetRestrict>(r#""10.0.0.0\/8""#).unwrap();
        assert_eq!(escaped.to_string(), "10.0.0.0/8");
    }
}
